//! The layout of our own: Services are elements of maps, and chains only where they must be.
//!
//! **What.** The same frame as in kube-proxy's layout, and in it these tables, by what a packet is looked up with:
//!
//! | key | container, for each protocol P that occurs | leads to |
//! |---|---|---|
//! | address . port . number below N | map `endpoints-P-N`, one for each number of endpoints N that occurs | endpoint address . port |
//! | port . number below N | map `nodeport-endpoints-P-N` | endpoint address . port |
//! | address . port | sets `flat-services-P`, `masquerade-services-P` | |
//! | address . port | sets `many-endpoints-P`, `many-endpoints-P-bit-B` | |
//! | port | sets `flat-nodeports-P`, `masquerade-nodeports-P` | |
//! | port | sets `many-nodeport-endpoints-P`, `many-nodeport-endpoints-P-bit-B` | |
//!
//! | key | container | leads to |
//! |---|---|---|
//! | address . protocol . port | sets `rejected-services`, `dropped-services` | |
//! | protocol . port | sets `rejected-nodeports`, `dropped-nodeports` | |
//! | endpoint address . the same | set `hairpin-addresses`: of endpoints on the node | |
//! | address . protocol . port | map `service-ips` | chains, as in kube-proxy's layout |
//! | protocol . port | map `service-nodeports` | chains, as in kube-proxy's layout |
//!
//! A packet that is for a frontend in `flat-services-P` goes to a chain that finds it an endpoint. For each N there is a
//! chain of one rule, which draws a number and looks it up together with the packet's destination; a packet that is not
//! there goes on to the next. So chains and rules grow with the distinct P and N and not with Services, no rule has a map
//! of its own, and of a Service whose endpoints change only elements do.
//!
//! **Many endpoints.** Each map that is asked in vain costs a first packet a third of a microsecond. So only numbers up to
//! [`FEW_MAX`] are asked for one after the other. A frontend with more is in `many-endpoints-P`, and for each bit of its
//! number less one that is set, in `many-endpoints-P-bit-B`; a tree of chains asks for those bits in which the numbers that occur
//! differ. These are at most seven look-ups, and cost a Service with at least nine endpoints two to eight elements. Sets of
//! bits that no chain asks for are filled, too: otherwise a number that comes might need elements of all Services.
//!
//! By the kind of a frontend:
//!
//! | frontend | where |
//! |---|---|
//! | ClusterIP, internal policy Cluster or Local | `endpoints-P-N` of the policy's set; masquerade as in kube-proxy's layout, by `cluster-ips` |
//! | external IP, load-balancer IP, policy Cluster | `endpoints-P-N` and `masquerade-services-P` |
//! | node port, policy Cluster | `nodeport-endpoints-P-N` and `masquerade-nodeports-P` |
//! | any that cannot be served | `rejected-…`, `dropped-…` |
//! | load-balancer IP with source ranges | as above, and `firewall-ips` before it |
//!
//! **Why.** Every anonymous map makes a transaction of nftables slower in the kernel, and every element that leads to a
//! chain has it look at chains again; an element of a map to data does neither. That is also why the number of a frontend's
//! endpoints is not looked up and a chain chosen by it: nft can keep what it has looked up only in a packet's marks, which
//! are others'.
//!
//! **Guard.** A Service that goes from four endpoints to three moves from one map to another. Both happens in one
//! transaction, but a packet may look into the first before and into the second after it, and miss both; or it sees some of
//! the bits of one number and some of the other. An anonymous map that is replaced is emptied while packets look into it. So
//! every frontend of which each packet finds an endpoint is in `flat-…`, those with chains as well, and a packet that is
//! there but was not translated is dropped: its client sends again. (A process of the node itself that sends UDP is told
//! so, by `EPERM`.) To be there is looked up first: whoever is there while endpoints change is there before and after.
//!
//! Deviation: who calls itself is known by its address, without protocol and port of the endpoint. So a Pod that somebody
//! else's translation has call itself is masqueraded as well; without that it would get no answer either.
//!
//! Deviation: these frontends have chains as in kube-proxy's layout, because where they lead depends on more than the
//! packet's destination: those of Services with session affinity (a map cannot give a timeout, and `update` does not
//! replace data), those with external policy Local (the node and Pods short-circuit it, PROXY-25), and those with more
//! than [`COUNT_MAX`] endpoints (a rule for each such number would cost every packet more than a chain does).

use ruleset::nft::Ident;

use super::flat_kind::FlatKind;
use crate::origin::PerPort;
use crate::{ExternalPlan, ExternalRoute, ServicePortPlan, TrafficPolicy};

/// The most endpoints of a frontend that has no chain.
pub(super) const COUNT_MAX: usize = 128;

/// The most endpoints of a frontend whose number is asked for after all smaller ones.
const FEW_MAX: u32 = 8;

/// Enough for what is below [`COUNT_MAX`].
const BITS: u32 = usize::ilog2(COUNT_MAX);

/// How the Services of a node are laid out in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layout {
    /// As kube-proxy 1.36 does it.
    KubeProxy,
    /// As this module does it.
    Flat,
}

impl Layout {
    /// What most service ports have in it.
    pub(super) const fn per_port(self) -> PerPort {
        match self {
            Self::KubeProxy => PerPort {
                origins: 0,
                picks: 0,
            },
            // The frontend, its address, and an endpoint on the node.
            Self::Flat => PerPort {
                origins: 3,
                picks: 1,
            },
        }
    }
}

/// The number of endpoints that a packet without a chain chooses from; `None` when it takes a chain.
pub(super) fn count(plan: &ServicePortPlan, policy: TrafficPolicy) -> Option<u32> {
    let endpoints = plan.endpoints(policy).len();
    let is_flat = plan.affinity_seconds.is_none()
        && FlatKind::has(plan.id.protocol)
        && (1..=COUNT_MAX).contains(&endpoints);
    is_flat.then(|| u32::try_from(endpoints).expect("there are few"))
}

/// The same for external traffic: all of it chooses alike only with policy Cluster.
pub(super) fn external_count(plan: &ServicePortPlan, external: &ExternalPlan) -> Option<u32> {
    let chooses_alike = external.route == ExternalRoute::Cluster;
    count(plan, TrafficPolicy::Cluster).filter(|_| chooses_alike)
}

/// Whether rules lead to the chain of a set.
pub(super) fn needs_chain(plan: &ServicePortPlan, policy: TrafficPolicy) -> bool {
    let is_short_circuited = plan
        .external
        .as_ref()
        .is_some_and(|external| matches!(external.route, ExternalRoute::Local { .. }));
    is_short_circuited || count(plan, policy).is_none()
}

/// Whether there are sets that say how many endpoints a frontend has.
pub(super) const fn is_many(count: u32) -> bool {
    count > FEW_MAX
}

/// The bits of a number of endpoints for which there are such sets.
pub(super) fn bits(count: u32) -> impl Iterator<Item = u32> {
    (0..BITS).filter(move |bit| is_many(count) && has(count, *bit))
}

/// Whether a bit is set in a number of endpoints, less one.
const fn has(count: u32, bit: u32) -> bool {
    (count - 1) >> bit & 1 == 1
}

/// How to find out which of some numbers of endpoints it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// There is one.
    Leaf(u32),
    /// By whether this bit is set: all higher ones are the same in all numbers.
    Inner {
        bit: u32,
        unset: Box<Self>,
        set: Box<Self>,
    },
}

impl Tree {
    /// For numbers in their order; `None` if there are none.
    pub(super) fn of(numbers: &[u32]) -> Option<Self> {
        let [first, .., last] = numbers else {
            return numbers.first().map(|number| Self::Leaf(*number));
        };
        let bit = ((first - 1) ^ (last - 1)).ilog2();
        let (unset, set) = numbers.split_at(numbers.partition_point(|one| !has(*one, bit)));
        Some(Self::Inner {
            bit,
            unset: Box::new(Self::of(unset)?),
            set: Box::new(Self::of(set)?),
        })
    }

    /// All numbers that have the higher bits of these.
    pub(super) fn range(&self) -> (u32, u32) {
        match self {
            Self::Leaf(number) => (*number, *number),
            Self::Inner { bit, set, .. } => {
                let (some, _) = set.range();
                let first = (some - 1) >> (bit + 1) << (bit + 1);
                (first + 1, first + (2 << bit))
            }
        }
    }

    /// The chain that asks. Its name does not depend on which of the numbers that it may be asked for occur.
    pub(super) fn chain(&self, kind: FlatKind) -> Ident {
        match self {
            Self::Leaf(number) => kind.draws(*number),
            Self::Inner { .. } => kind.asks(self.range()),
        }
    }

    /// Adds the names of the chains that ask for bits.
    pub(super) fn add_names(&self, kind: FlatKind, names: &mut Vec<Ident>) {
        if let Self::Inner { unset, set, .. } = self {
            names.push(self.chain(kind));
            unset.add_names(kind, names);
            set.add_names(kind, names);
        }
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Protocol;

    use super::*;
    use crate::nftables::container::Container;

    /// The bits that are asked for when a frontend has so many endpoints, down to the number that it is taken to have.
    fn find(tree: &Tree, count: u32) -> (u32, u32) {
        match tree {
            Tree::Leaf(number) => (*number, 0),
            Tree::Inner { bit, unset, set } => {
                let is_set = bits(count).any(|one| one == *bit);
                let (number, asked) = find(if is_set { set } else { unset }, count);
                (number, asked + 1)
            }
        }
    }

    #[test]
    fn every_number_is_found() {
        let most = u32::try_from(COUNT_MAX).unwrap();
        for step in [1, 2, 3, 7, 40, 119] {
            let numbers: Vec<u32> = (FEW_MAX + 1..=most).step_by(step).collect();
            let tree = Tree::of(&numbers).unwrap();
            for number in &numbers {
                let (found, asked) = find(&tree, *number);
                assert_eq!(found, *number);
                assert!(asked <= BITS && asked < u32::try_from(numbers.len()).unwrap());
            }
        }
        assert_eq!(Tree::of(&[]), None);
    }

    #[test]
    fn chains_keep_their_names_when_numbers_come_and_go() {
        let names = |numbers: &[u32]| {
            let mut names = Vec::new();
            let tree = Tree::of(numbers).unwrap();
            let kind = FlatKind::of(Protocol::TCP, Container::ServiceIps).unwrap();
            tree.add_names(kind, &mut names);
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let root = "choose-service-tcp-1-to-32";
        assert_eq!(names(&[9, 20]), [root]);
        let more = [
            root,
            "choose-service-tcp-9-to-16",
            "choose-service-tcp-17-to-20",
        ];
        assert_eq!(names(&[9, 16, 17, 20]), more);
        assert_eq!(names(&[10, 16, 18, 20]), more);
        assert!(names(&[9]).is_empty());
    }
}
