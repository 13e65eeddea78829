//! The network stack of a host.
//!
//! **What.** A [`Stack`] is a smoltcp interface with sockets by flow, listening ports, and the behaviour of a
//! Linux client around it. **Why.** The protocols themselves are smoltcp's; what it leaves to its user stands
//! here: demultiplexing, ephemeral ports, sockets made when a SYN arrives, ICMP errors that reach sockets.
//! A host that never sent or received anything has no stack at all, even if it listens.
//! **Source of the semantics.** RFC 9293, RFC 768, RFC 1122 section 4; Linux's ip(7), tcp(7), udp(7).

mod echo;
mod error;
mod path;
mod solo;
mod spares;
mod stack;
mod stacks;
mod supplies;
mod tcp;
mod udp;
mod wire;

pub use error::{ListenError, SendError};
pub(crate) use stack::{Reaction, Stack, may_listen};
pub(crate) use stacks::Stacks;
pub(crate) use supplies::Supplies;
pub(crate) use tcp::Alarm;
