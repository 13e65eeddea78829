//! Choosing an endpoint and going there (PROXY-23, -32, -54).
//!
//! **How many clients are remembered.** Session affinity remembers client addresses, [`AFFINITY_SIZE`] of each endpoint,
//! as in kube-proxy. Whoever can send from many addresses, as a host with an IPv6 network of its own can, or a sender of
//! forged UDP packets, can fill an endpoint's set until the timeout has passed. New clients are served meanwhile, but do not
//! stay with that endpoint; those that are remembered stay.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ruleset::nft::{
    DataType, Expr, Key, MapRef, NatFlags, NatTo, NftRule, NftSet, Numgen, SetFlags, SetOp,
    SetOptions, Statement, Verdict,
};
use ruleset::{Family, Sorted};

use super::container::Container;
use super::flat::Layout;
use super::fragment::Lowering;
use super::names::EndpointNames;
use super::spell::{equals, goto, in_set, l4proto, saddr, socket_key};
use crate::{Decision, EndpointPlan, TrafficPolicy};

/// The greatest number of clients that are remembered of an endpoint: the kernel's choice for a set that rules
/// write to and that has no size (`NFT_SET_…`, as a dump shows it).
const AFFINITY_SIZE: u32 = 65_535;

/// The names of endpoints' chains and sets, with affinity.
type Names = BTreeMap<SocketAddr, EndpointNames>;

impl Lowering<'_> {
    /// Chains of the sets that have endpoints, and of the endpoints where those have to be remembered.
    pub(super) fn endpoints(&mut self) {
        let plan = self.plan;
        let affinity = plan.affinity_seconds.map(|seconds| {
            let of = |e: &EndpointPlan| (e.address, self.names.endpoint(e.address));
            (seconds, plan.reachable().map(of).collect::<Names>())
        });
        if let Some((seconds, names)) = &affinity {
            for endpoint in plan.reachable() {
                self.endpoint(endpoint, &names[&endpoint.address], *seconds);
            }
        }
        for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
            if !plan.endpoints(policy).is_empty() && self.has_chain(policy) {
                let rules = match &affinity {
                    Some((seconds, names)) => self.balance_with_affinity(policy, *seconds, names),
                    None => self.balance(policy).into_iter().collect(),
                };
                self.chain(self.names.policy(policy), rules);
            }
        }
    }

    /// Only endpoints of the node itself can have their own packets come back to it.
    pub(super) fn hairpin(&mut self) {
        let plan = self.plan;
        for endpoint in plan.reachable().filter(|endpoint| endpoint.is_local) {
            let (ip, port) = (endpoint.address.ip(), endpoint.address.port());
            let twice = Key::of_address(ip).then_address(ip);
            let (container, key) = match self.layout {
                Layout::Flat => (Container::HairpinAddresses, twice),
                Layout::KubeProxy => {
                    let key = twice.then_protocol(plan.id.protocol).then_port(port);
                    (Container::HairpinConnections, key)
                }
            };
            let origin = self.origins.of_endpoint(Decision::HideHairpin, endpoint);
            self.element(container, key, origin);
        }
    }

    /// One rule draws a number and looks up the endpoint.
    fn balance(&mut self, policy: TrafficPolicy) -> Option<NftRule> {
        let endpoints = self.plan.endpoints(policy);
        let entries = endpoints
            .iter()
            .zip(0..)
            .map(|(endpoint, index)| (Key::new().then_number(index), socket_key(endpoint.address)));
        let dnat = Statement::Dnat {
            to: NatTo::Lookup {
                family: self.family,
                key: random(endpoints)?,
                map: MapRef::Anonymous(entries.collect()),
            },
            flags: NatFlags::NONE,
        };
        let origin = self.origins.id(Decision::Balance {
            policy,
            endpoints: Arc::clone(endpoints),
        });
        let statements = [equals(l4proto(), self.plan.id.protocol.into()), dnat];
        Some(NftRule::new(statements).with_origin(origin))
    }

    /// Clients that were here before go where they went; a number is drawn for the others.
    fn balance_with_affinity(
        &mut self,
        policy: TrafficPolicy,
        seconds: NonZeroU32,
        names: &Names,
    ) -> Vec<NftRule> {
        let endpoints = self.plan.endpoints(policy);
        let mut rules = Vec::with_capacity(endpoints.len() + 1);
        for endpoint in endpoints.iter() {
            let EndpointNames { chain, affinity } = &names[&endpoint.address];
            let known = in_set(saddr(self.family), affinity.clone());
            let origin = self
                .origins
                .of_endpoint(Decision::Stick { seconds }, endpoint);
            rules.push(NftRule::new([known, goto(chain.clone())]).with_origin(origin));
        }
        let entries = endpoints.iter().zip(0..).map(|(endpoint, index)| {
            let to = Verdict::Goto(names[&endpoint.address].chain.clone());
            (Key::new().then_number(index), to)
        });
        if let Some(key) = random(endpoints) {
            let origin = self.origins.id(Decision::Balance {
                policy,
                endpoints: Arc::clone(endpoints),
            });
            let map = MapRef::Anonymous(entries.collect());
            let draw = Statement::VerdictMap { key, map };
            rules.push(NftRule::new([draw]).with_origin(origin));
        }
        rules
    }

    /// The set of an endpoint's clients, and the chain that adds to it.
    fn endpoint(&mut self, endpoint: &EndpointPlan, names: &EndpointNames, seconds: NonZeroU32) {
        let set = NftSet {
            key: vec![match self.family {
                Family::V4 => DataType::Ipv4Addr,
                Family::V6 => DataType::Ipv6Addr,
            }],
            options: SetOptions {
                flags: SetFlags {
                    dynamic: true,
                    timeout: true,
                    ..SetFlags::default()
                },
                timeout: Some(Duration::from_secs(seconds.get().into())),
                size: Some(AFFINITY_SIZE),
                ..SetOptions::default()
            },
            elements: Sorted::new(),
        };
        self.fragment
            .sets
            .push((names.affinity.clone(), Arc::new(set)));
        let remember = Statement::SetUpdate {
            op: SetOp::Update,
            set: names.affinity.clone(),
            key: saddr(self.family),
            timeout: None,
            data: None,
        };
        let dnat = Statement::Dnat {
            to: NatTo::Fixed(endpoint.address.into()),
            flags: NatFlags::NONE,
        };
        let is_protocol = equals(l4proto(), self.plan.id.protocol.into());
        let mut origin = |decision| self.origins.of_endpoint(decision, endpoint);
        let rules = vec![
            NftRule::new([remember]).with_origin(origin(Decision::Remember { seconds })),
            NftRule::new([is_protocol, dnat]).with_origin(origin(Decision::Translate)),
        ];
        self.chain(names.chain.clone(), rules);
    }
}

/// A number for each endpoint; `None` when there is no endpoint.
fn random(endpoints: &[EndpointPlan]) -> Option<Expr> {
    let count = u32::try_from(endpoints.len()).expect("fewer endpoints than 2^32");
    (count > 0).then(|| Expr::Numgen(Numgen::random(count)))
}
