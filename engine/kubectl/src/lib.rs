//! What kubectl prints: tables, descriptions, YAML and JSON of API objects.
//!
//! **What.** [`Get`] and [`Describe`] are kubectl's verbs of these names: they look for [`Objects`], and print what they
//! find exactly as kubectl 1.36 does. **Why.** A person who debugs a Service looks at it with kubectl. Here it is the
//! same picture, at any instant of a run: ages are counted on the virtual clock. No I/O: the texts are returned.
//! **Source of the semantics.** API-93 … API-96; recordings of kubectl 1.36, replayed in `tests/recorded.rs`.
//!
//! ```
//! use api::{ApiConfig, ApiServer};
//! use base::{Seed, SimTime};
//! use switchboard_kubectl::{Get, Output, Resources, Scope};
//!
//! let config = ApiConfig {
//!     service_cidrs: vec!["10.96.0.0/12".parse()?],
//!     node_port_range: 30_000..=32_767,
//!     dns_domain: "cluster.local".to_owned(),
//!     api_servers: Vec::new(),
//!     seed: Seed::new(7),
//! };
//! let server = ApiServer::new(config, SimTime::ZERO);
//! let scope = Scope::Namespace("default".to_owned());
//! let get = Get::new(Resources::parse(&["svc"], &scope, None)?, scope, Output::Table);
//! let printed = get.print(&get.find(&server), SimTime::from_nanos(720_000_000_000));
//! assert_eq!(
//!     printed.stdout,
//!     "NAME         TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE\n\
//!      kubernetes   ClusterIP   10.96.0.1    <none>        443/TCP   12m\n",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod describe;
mod fields;
mod get;
mod json;
mod jsonpath;
mod path;
mod quantity;
mod request;
mod selector;
mod table;
mod tabs;
mod time;
mod yaml;

pub use describe::{Describe, DescribeError, SUPPORTED};
pub use get::{Get, Output, OutputError, Printed};
pub use jsonpath::JsonPath;
pub use path::{ColumnsError, CustomColumns, FieldPath, PathError};
pub use request::{Found, Objects, RequestError, Resources, Scope};
