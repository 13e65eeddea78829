//! Generated clusters, an independent oracle, and a [`DataPlane`] to hold against it.
//!
//! **What.** [`clusters`] makes small clusters as API objects, an [`Oracle`] says what may become of the first
//! packet of a connection in them, and [`check`] compares that with what a data plane does with it.
//! **Why.** Whoever writes a Service proxy can ask whether it does what Kubernetes promises. The oracle is written
//! from the promises alone: it reads API objects and shares no code with any compiler of rules, so a mistake
//! would have to be made twice to go unseen. Where implementations may differ it allows every choice.
//! **Source of the semantics.** PROXY-2 … PROXY-32, PROXY-40, PROXY-42, PROXY-56; EP-13, EP-16, EP-40.
//!
//! A node without rules does not pass:
//!
//! ```
//! use proptest::strategy::{Strategy, ValueTree};
//! use proptest::test_runner::TestRunner;
//! use switchboard_conformance::{NoRules, Outcome, check, clusters, packets};
//!
//! let cluster = clusters().new_tree(&mut TestRunner::deterministic())?.current();
//! let disagreement = check(&mut NoRules, &cluster, &packets(&cluster)).unwrap_err();
//! assert_eq!(disagreement.observed[0].1, Outcome::Untouched);
//! assert!(disagreement.to_string().starts_with("the data plane (iptables) and the oracle disagree"));
//! # Ok::<(), proptest::test_runner::Reason>(())
//! ```

mod affinity;
mod allowed;
mod cluster;
mod endpoints;
mod exposure;
mod frontend;
mod generate;
mod oracle;
mod packet;
mod plane;
mod source;
mod targets;
mod words;

pub use affinity::{AffinityMemory, Broken, Visit, check_affinity};
pub use allowed::{Allowed, AllowedOutcome, Alternative, Obligation, Ruling, Share, SourceNat};
pub use cluster::{Cluster, LocalDetection, NodePortAddresses, ProxyMode, ProxySettings};
pub use generate::clusters;
pub use oracle::Oracle;
pub use packet::{FirstPacket, PacketKind, Source};
pub use plane::{DataPlane, Disagreement, NoRules, Outcome, RememberingPlane, check};
pub use targets::packets;
