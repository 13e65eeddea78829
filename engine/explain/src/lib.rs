//! Why a Service does not work, in words: diagnosis over a snapshot.
//!
//! **What.** [`diagnose`] looks at one Service, its Pods and endpoints, and at the rules that the nodes have, and
//! gives a [`Diagnosis`]: what clients see, why, and what to change. [`page`] is the page of a failure mode, for
//! somebody who has only its number. **Why.** The same few mistakes make most of
//! the cases; each has a number that the book explains, and a test. It reads and never changes anything.
//! **Source of the semantics.** DBG-21 … DBG-60, DBG-74 and DBG-75 in the order of DBG-61; near misses
//! by DBG-77 … DBG-81; the tone is that of DBG-95 … DBG-100. The coverage table says where each is.
//!
//! ```
//! use api::{ApiConfig, ApiServer, Kind, ObjectKey};
//! use base::{Seed, SimTime};
//! use switchboard_explain::{Question, Verdict, diagnose_objects};
//!
//! let config = ApiConfig {
//!     service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
//!     node_port_range: 30_000..=32_767,
//!     dns_domain: "cluster.local".to_owned(),
//!     api_servers: Vec::new(),
//!     seed: Seed::new(7),
//! };
//! let server = ApiServer::new(config, SimTime::ZERO);
//! let question = Question::about(ObjectKey::new(Kind::Service, "default", "kubernets"));
//! let diagnosis = diagnose_objects(&server, &question);
//! assert_eq!(diagnosis.verdict, Verdict::Broken);
//! assert_eq!(diagnosis.findings[0].id, "DBG-28");
//! assert!(diagnosis.findings[0].fix.contains("kubernetes"));
//! ```

mod check;
mod diagnose;
mod diagnosis;
mod facts;
mod finding;
mod freshness;
mod limits;
mod matrix;
mod near_miss;
mod page;
mod pods;
mod question;

pub use diagnose::{diagnose, diagnose_objects, services};
pub use diagnosis::{Diagnosis, Verdict};
pub use finding::{Certainty, Check, Finding, Severity};
pub use matrix::{
    Difference, Fate, Frontend, Matrix, NodeAddress, Place, Row, Sent, SourceClass, matrix,
};
pub use page::{Page, page, page_of_refusal, pages};
pub use question::{AskedPort, AskedPortError, Question};
