//! What the benches measure on: clusters of any size, and packets between them.
//!
//! **What.** [`cluster`] is a log of API events as a proxy's watch would tell it; [`packets`] holds a node's
//! routes and the packets of a connection. **Why.** Every bench takes its input from here, so the same words in
//! `README.md` mean the same mix.
//!
//! ```
//! use switchboard_benches::cluster;
//!
//! let events = cluster::events(2);
//! let view = cluster::view(&events);
//! assert_eq!(view.services.count(), 3, "two and `kubernetes`");
//! ```

pub mod cluster;
pub mod objects;
pub mod packets;
