//! Lowering a plan to the nftables dialect: in kube-proxy 1.36's layout, names, order and comments included, and in a
//! layout of our own ([`flat`]).
//!
//! A packet is looked up once in a map by address, protocol and port (`service-ips`) or by protocol and node port
//! (`service-nodeports`), and goes to a chain of its service port. Who cannot be served is in `no-endpoint-services`
//! and `no-endpoint-nodeports`, which the filter chains look into. The containers and the chains around them are a
//! [`frame`]; a [`Fragment`] per service port has chains, affinity sets and elements; an [`Assembly`] is the table of both.
//!
//! Source of the semantics: PROXY-47 … PROXY-56; kube-proxy 1.36 `pkg/proxy/nftables/proxier.go`; the recorded
//! dumps in `tests/recorded`.

mod assembly;
mod claims;
mod container;
mod contents;
mod endpoints;
mod flat;
mod flat_frame;
mod flat_kind;
mod fragment;
mod frame;
mod names;
mod spell;

pub(crate) use assembly::Assembly;
pub(crate) use flat::Layout;
pub(crate) use fragment::Fragment;
