//! Lowering a plan to virtual servers, sets and a few fixed rules, in kube-proxy 1.36's layout.
//!
//! A service port has a virtual server at each of its addresses, whose real servers are the endpoints of the policy.
//! Who is hidden behind the node's address, and who may come in, is in sets; the rules that look into them are the
//! same for all Services. A set that holds nothing has no rule.
//!
//! What differs from the other modes follows from that: there is no short circuit for policy Local, which falls back
//! to the cluster set where the node has no endpoint; nothing refuses but a virtual server that has nobody; and every
//! address of a Service is the node's own, at which whatever is not served is refused (PROXY-15, PROXY-16, PROXY-17).
//!
//! Source of the semantics: PROXY-15 … PROXY-17, PROXY-57 … PROXY-61; kube-proxy `pkg/proxy/ipvs/proxier.go`.
//!
//! Deviation: a Service without any endpoint counts as one of policy Cluster, which only shows in sets that then decide
//! nothing. The hairpin set holds the node's endpoints that can be reached, upstream all of them. Packets of processes
//! of the node do not come from a Service's address: `src,dst` in `KUBE-CLUSTER-IP` matches nothing here,
//! nor do the rules of `KUBE-IPVS-OUT-FILTER`, which drop such packets to a load balancer whose source ranges do not name the
//! node (PROXY-30).

mod assembly;
mod fragment;
mod frame;
mod sets;

pub(crate) use assembly::{Assembly, Node};
pub(crate) use fragment::Fragment;
pub(crate) use frame::{is_own_chain, is_own_jump};
pub(crate) use sets::{empty_tables, node_port_sets};
