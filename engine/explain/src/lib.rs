//! Why a Service does not work, in words: diagnosis over a snapshot.
//!
//! **What.** [`diagnose`] looks at one Service, its Pods and endpoints, and at the rules that the nodes have, and
//! gives a [`Diagnosis`]: what clients see, why, and what to change. **Why.** The same few mistakes make most of
//! the cases; each has a number that the book explains, and a test. It reads and never changes anything.
//! **Source of the semantics.** DBG-21, DBG-22, DBG-24, DBG-26, DBG-28, DBG-42 in the order of DBG-61; near misses
//! by DBG-77 … DBG-81; the tone is that of DBG-95 … DBG-100.
//!
//! ```
//! use api::{ApiConfig, ApiServer, Kind, ObjectKey};
//! use base::{Seed, SimTime};
//! use switchboard_explain::{Verdict, diagnose_objects};
//!
//! let config = ApiConfig {
//!     service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
//!     node_port_range: 30_000..=32_767,
//!     dns_domain: "cluster.local".to_owned(),
//!     api_servers: Vec::new(),
//!     seed: Seed::new(7),
//! };
//! let server = ApiServer::new(config, SimTime::ZERO);
//! let diagnosis = diagnose_objects(&server, &ObjectKey::new(Kind::Service, "default", "kubernets"));
//! assert_eq!(diagnosis.verdict, Verdict::Broken);
//! assert_eq!(diagnosis.findings[0].id, "DBG-28");
//! assert!(diagnosis.findings[0].fix.contains("kubernetes"));
//! ```

mod diagnose;
mod diagnosis;
mod freshness;
mod near_miss;
mod pods;
mod policies;

pub use diagnose::{diagnose, diagnose_objects};
pub use diagnosis::{Certainty, Diagnosis, Finding, Verdict};
