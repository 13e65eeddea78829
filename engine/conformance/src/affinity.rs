//! Session affinity: what a second connection of a client may do.
//!
//! **What.** [`AffinityMemory`] follows connections and says where a client's next one may go;
//! [`check_affinity`] holds a [`RememberingPlane`] against it. **Why.** The promise is about sequences: a client
//! stays with its endpoint, for as long as its connections are not further apart than the timeout, and as long as
//! the endpoint is there. **Source of the semantics.** PROXY-32.
//!
//! Deviation: kernels remember a limited number of clients per endpoint (100 in iptables mode,
//! `ip_list_tot`); the memory here has no limit, so only few clients may be tried at a time. Where a client is
//! remembered by several endpoints, any of them may be chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::Service;

use crate::{
    Allowed, AllowedOutcome, Alternative, Cluster, FirstPacket, Oracle, Outcome, PacketKind,
    ProxyMode, RememberingPlane, Ruling,
};

/// `timeoutSeconds` where nothing is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10_800);

/// Who was where, and when last.
#[derive(Clone, Debug, Default)]
pub struct AffinityMemory {
    last: BTreeMap<Bond, BTreeMap<SocketAddr, Duration>>,
}

/// Affinity is per node, client and service port, whichever address of the Service the client asks for; but in IPVS
/// mode each address has its own (PROXY-32).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bond {
    node: String,
    client: IpAddr,
    namespace: String,
    service: String,
    port: String,
    kind: PacketKind,
    /// Where the mode tells them apart.
    address: Option<SocketAddr>,
}

impl AffinityMemory {
    /// What may become of a connection at an instant. Exactly at the end of the timeout it may stay or not.
    #[must_use]
    pub fn judge(&self, oracle: &Oracle<'_>, packet: &FirstPacket, at: Duration) -> Allowed {
        let fresh = oracle.judge(packet);
        let Some((bond, timeout)) = bond(oracle, packet) else {
            return fresh;
        };
        let Some(last) = self.last.get(&bond) else {
            return fresh;
        };
        let age = |address: &SocketAddr| last.get(address).map(|last| at.saturating_sub(*last));
        let alternatives: BTreeSet<Alternative> = fresh
            .alternatives()
            .flat_map(|alternative| alternatives(alternative, timeout, age))
            .collect();
        Allowed::new(alternatives).expect("each alternative gave one at least")
    }

    /// Takes note of a connection.
    pub fn record(
        &mut self,
        oracle: &Oracle<'_>,
        packet: &FirstPacket,
        at: Duration,
        outcome: &Outcome,
    ) {
        if let Outcome::Endpoint { address, .. } = outcome
            && let Some((bond, _)) = bond(oracle, packet)
        {
            self.last.entry(bond).or_default().insert(*address, at);
        }
    }

    /// Forgets the endpoints that are in no slice any more: should they come back, nobody knows them.
    pub fn forget_gone(&mut self, cluster: &Cluster) {
        let present: BTreeSet<IpAddr> = cluster
            .objects
            .iter()
            .filter_map(api::Object::as_endpoint_slice)
            .flat_map(|slice| &slice.endpoints)
            .filter_map(|endpoint| endpoint.addresses.first()?.parse().ok())
            .collect();
        for last in self.last.values_mut() {
            last.retain(|address, _| present.contains(&address.ip()));
        }
    }
}

/// One step of a sequence.
#[derive(Clone, Debug)]
pub struct Visit<'c> {
    /// When, counted from the beginning.
    pub at: Duration,
    /// What the cluster is from now on; `None` to leave it as it is.
    pub change: Option<&'c Cluster>,
    /// The connection that is opened.
    pub packet: FirstPacket,
}

/// A connection went where it must not go.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Broken {
    /// The step, from 0.
    pub step: usize,
    /// Its connection.
    pub packet: FirstPacket,
    /// When.
    pub at: Duration,
    /// Where it might have gone.
    pub allowed: Allowed,
    /// Where it went.
    pub observed: Outcome,
}

/// Takes a data plane through connections and changes, and holds every connection against the promise. Returns
/// where they went.
///
/// # Errors
/// The first connection that breaks it.
pub fn check_affinity<'c>(
    plane: &mut impl RememberingPlane,
    cluster: &'c Cluster,
    visits: &[Visit<'c>],
) -> Result<Vec<Outcome>, Box<Broken>> {
    plane.apply(cluster);
    plane.settle();
    let mode = plane.mode();
    let mut memory = AffinityMemory::default();
    let mut oracle = Oracle::new(cluster, mode);
    let mut outcomes = Vec::new();
    for (step, visit) in visits.iter().enumerate() {
        if let Some(cluster) = visit.change {
            plane.change(cluster);
            oracle = Oracle::new(cluster, mode);
            memory.forget_gone(cluster);
        }
        let Visit { at, packet, .. } = visit;
        let allowed = memory.judge(&oracle, packet, *at);
        let observed = plane.connect(packet, *at);
        if !allowed.admits(&observed) {
            return Err(Box::new(Broken {
                step,
                packet: packet.clone(),
                at: *at,
                allowed,
                observed,
            }));
        }
        memory.record(&oracle, packet, *at, &observed);
        outcomes.push(observed);
    }
    Ok(outcomes)
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {}, at {:?}: {}", self.step, self.at, self.packet)?;
        writeln!(f, "allowed: {}", self.allowed)?;
        write!(f, "the data plane: {}", self.observed)
    }
}

/// The service port that a packet asks for and its timeout, if it has affinity.
fn bond(oracle: &Oracle<'_>, packet: &FirstPacket) -> Option<(Bond, Duration)> {
    let frontend = oracle.frontend(packet)?;
    let service = frontend.service;
    let timeout = timeout(service)?;
    let bond = Bond {
        node: packet.node.clone(),
        client: packet.source.address(),
        namespace: service.metadata.namespace.clone(),
        service: service.metadata.name.clone(),
        port: frontend.port.name.clone(),
        kind: packet.kind,
        address: (oracle.mode() == ProxyMode::Ipvs).then_some(packet.destination),
    };
    Some((bond, timeout))
}

fn timeout(service: &Service) -> Option<Duration> {
    if service.spec.session_affinity != "ClientIP" {
        return None;
    }
    let config = service.spec.session_affinity_config.as_ref();
    let seconds = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Some(seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs))
}

/// What an alternative for strangers leaves to a client that was at some of its endpoints so long ago.
fn alternatives(
    fresh: &Alternative,
    timeout: Duration,
    age: impl Fn(&SocketAddr) -> Option<Duration>,
) -> Vec<Alternative> {
    let ages = fresh.outcomes.keys().filter_map(|outcome| match outcome {
        AllowedOutcome::Endpoint { address, .. } => Some((*outcome, age(address)?)),
        _ => None,
    });
    let known: Vec<(AllowedOutcome, Duration)> = ages.filter(|(_, age)| *age <= timeout).collect();
    let sticks = known
        .iter()
        .map(|(outcome, _)| Alternative::always(Ruling::Affinity, *outcome));
    let may_leave = known.iter().all(|(_, age)| *age == timeout);
    sticks.chain(may_leave.then(|| fresh.clone())).collect()
}
