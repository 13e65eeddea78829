//! The scenario language: parse, replay over any World, judge, report.
//!
//! **What.** [`load`] reads scenario files, [`run`] replays one over a [`control::World`] and judges its
//! expectations, [`Report`] is the outcome as JSON, [`junit`] the same as XML and [`human`] as a timeline.
//! **Why.** One file teaches, tests and reproduces: what happened, in which order, and whether it should have.
//! Everything here works on a world that it is given, so the simulator and real nodes are judged alike. No I/O:
//! files come through a function.
//! **Source of the semantics.** The scenario language and the report are contracts of the project's design;
//! manifests, error texts and printed objects are kubectl's (API-6 … API-13).
//!
//! Extensions of the contract: `nodes[].watch`, a node's own watch latency, `selector` in a `get`, costs by mode in
//! `timing.syncCost`, `backends: {count: …}`, how many different ones answer, `from`, `port` and `name` in an `explain`, the
//! step `await`, where a user's repair is done (manifests, or a `Repair` with steps), `dns: {nodeLocal: true}` with
//! `metrics.dnsCache` in the report, `nodes[].cpu` as groups have it, `jitter`, `rate` and `mtu` of a `link`, a `proxy`
//! without `node`, which is that of every node, and in expectations: `error` of a `get`, `verdict` and `contains` of an
//! `explain`, and `new`, `established`, `backends` and `latency` of a `stop`.
//!
//! ```
//! use switchboard_scenario::load;
//! use api::yaml::Source;
//!
//! let file = Source::new("hello.yaml", "
//! apiVersion: switchboard.dev/v1alpha1
//! kind: Scenario
//! metadata: {name: hello}
//! spec:
//!   cluster:
//!     modes: [iptables]
//!     nodes: [{name: node-a, zone: zone-1}]
//!   steps:
//!   - wait: 1s
//!   - rules: {node: node-b}
//! ");
//! let mut no_files = |path: &str| Err(format!("{path}: there are no files here"));
//! let problems = load(&file, &mut no_files).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "hello.yaml:11:19: there is no node \"node-b\" in spec.cluster\n  help: did you mean `node-a`?",
//! );
//! ```

mod act;
mod background;
mod connect;
mod cursor;
pub mod expect;
mod fault;
mod findings;
mod held;
pub mod human;
pub mod judge;
pub mod junit;
mod load;
mod matrix;
mod metrics;
mod proxy_step;
mod range;
mod reference;
mod repair;
mod report;
mod resolution;
mod run;
mod scenario;
pub mod schema;
mod step;
pub mod update;
pub mod why;
pub mod words;

pub use fault::{FaultStep, Trouble};
pub use findings::{Asked, finding_json};
pub use load::{API_VERSION, Problems, load, load_repair, load_step};
pub use matrix::{difference_lines, differences_json, matrix_json, matrix_lines};
pub use metrics::Metrics;
pub use proxy_step::{ProxyChange, ProxyStep};
pub use range::{Bound, Range, RangeError};
pub use reference::{PodsRef, ReferenceSpelling, SourceRef, object_key};
pub use report::{
    Entry, KUBERNETES_VERSION, Outcome, Refusals, Report, ScenarioReport, StepReport,
};
pub use resolution::attempts_json;
pub use run::{At, CONVERGED_MAX, Ongoing, Progress, RunError, run, run_steps, run_until};
pub use scenario::Scenario;
pub use step::{
    Action, Dial, Edit, Given, Only, Plane, ProbeFrom, Schedule, Step, TrafficStart, Wait,
};
