//! The simulated World: control plane and packet plane on one clock.
//!
//! **What.** [`Sim`] runs whatever is due first, in `control` or in `plane`, turns Pods into hosts with an
//! application each, and drives clients: name resolution and connections over real sockets. **Why.** `control`
//! knows no packets and `plane` no Kubernetes; this is the one place where a Pod has both a status and a network.
//! **Source of the semantics.** design: a node's tables are the compiled ruleset itself, nothing between.

mod app;
mod client;
mod clients;
mod evidence;
mod faults;
mod fleet;
mod foresight;
mod held;
mod inbox;
mod inspect;
mod node_cache;
mod ping;
mod resolver;
mod rule_text;
mod senders;
mod sim;
mod story;
mod tables;
#[cfg(test)]
mod tests;
mod trace;
mod traffic;
mod world;

pub use inspect::Passed;
pub use ping::{Echo, EchoEnd};
pub use sim::Sim;
pub use trace::{Hop, Step, Trace, TraceError};
