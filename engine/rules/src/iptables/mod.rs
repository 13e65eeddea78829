//! Lowering a plan to the iptables dialect, in kube-proxy 1.36's layout: names, order and comments included.
//!
//! The rules are a [`frame`], which is the same for all Services, and a [`Fragment`] per service port. A fragment
//! has chains of its own and adds rules to chains of the frame; an [`Assembly`] is the tables of both.
//!
//! Source of the semantics: PROXY-33 … PROXY-46; kube-proxy 1.36 `pkg/proxy/iptables/proxier.go`; the recorded
//! dumps in `tests/recorded`.

mod assembly;
mod endpoints;
mod fragment;
mod frame;
mod names;
pub(crate) mod spell;

pub(crate) use assembly::Assembly;
pub(crate) use fragment::{EndpointComments, Fragment};
pub use frame::SHARED_CHAIN;
pub(crate) use frame::{is_own_chain, is_own_jump};
