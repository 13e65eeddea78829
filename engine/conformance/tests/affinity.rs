//! Session affinity as a sequence (PROXY-32): the check against a double that does it right, and against doubles
//! that do it wrong.

mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::{ClientIpConfig, Object, Protocol, SessionAffinityConfig};
use support::objects::{cluster, slice, web};
use support::{LAYOUTS, LayoutPlane};
use switchboard_conformance::{
    AllowedOutcome, Broken, Cluster, DataPlane, FirstPacket, Oracle, Outcome, PacketKind,
    ProxyMode, RememberingPlane, Ruling, Share, Source, Visit, check_affinity,
};

const HERE: &str = "{addresses: [10.244.1.5], nodeName: node-1}";
const THERE: &str = "{addresses: [10.244.2.6], nodeName: node-2}";
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// How a double gets it wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It forgets at once.
    NeverSticks,
    /// It never forgets.
    NeverExpires,
    /// It counts from the first connection, not from the last.
    NeverRefreshes,
    /// It goes on to endpoints that are gone.
    OutlivesEndpoint,
    /// All clients are one.
    ForgetsWho,
}

/// A plane that asks the oracle where a new client may go, and takes the endpoint after the last one.
struct Double {
    fault: Fault,
    cluster: Option<Cluster>,
    turn: usize,
    bonds: BTreeMap<IpAddr, (SocketAddr, Duration)>,
}

impl Double {
    const fn new(fault: Fault) -> Self {
        Self {
            fault,
            cluster: None,
            turn: 0,
            bonds: BTreeMap::new(),
        }
    }

    fn endpoints(&self, packet: &FirstPacket) -> Vec<SocketAddr> {
        let cluster = self.cluster.as_ref().expect("a cluster was applied");
        let allowed = Oracle::new(cluster, self.mode()).judge(packet);
        let outcomes = allowed.outcomes();
        let address = |outcome: &AllowedOutcome| match outcome {
            AllowedOutcome::Endpoint { address, .. } => Some(*address),
            _ => None,
        };
        outcomes.keys().filter_map(address).collect()
    }
}

impl DataPlane for Double {
    fn mode(&self) -> ProxyMode {
        ProxyMode::Nftables
    }

    fn apply(&mut self, cluster: &Cluster) {
        *self = Self::new(self.fault);
        self.change(cluster);
    }

    fn settle(&mut self) {}

    fn probe(&mut self, _packet: &FirstPacket) -> Vec<(Share, Outcome)> {
        Vec::new()
    }
}

impl RememberingPlane for Double {
    fn change(&mut self, cluster: &Cluster) {
        self.cluster = Some(cluster.clone());
    }

    fn connect(&mut self, packet: &FirstPacket, at: Duration) -> Outcome {
        let endpoints = self.endpoints(packet);
        let client = match self.fault {
            Fault::ForgetsWho => [0, 0, 0, 0].into(),
            _ => packet.source.address(),
        };
        let holds = |(address, last): &&(SocketAddr, Duration)| {
            let is_there = endpoints.contains(address) || self.fault == Fault::OutlivesEndpoint;
            let is_fresh = at - *last <= MINUTE || self.fault == Fault::NeverExpires;
            is_there && is_fresh && self.fault != Fault::NeverSticks
        };
        let held = self.bonds.get(&client).filter(holds).copied();
        let address = held.map_or_else(
            || endpoints[self.turn % endpoints.len()],
            |(address, _)| address,
        );
        self.turn += 1;
        let since = match held {
            Some((_, first)) if self.fault == Fault::NeverRefreshes => first,
            _ => at,
        };
        self.bonds.insert(client, (address, since));
        Outcome::Endpoint {
            address,
            source_nat: false,
        }
    }
}

/// Service `web` with a timeout of a minute.
fn sticky(endpoints: &[&str]) -> Cluster {
    let mut cluster = cluster(&format!("{}{}", web(""), slice("a", endpoints)));
    for object in &mut cluster.objects {
        if let Object::Service(service) = object {
            let spec = &mut Arc::make_mut(service).spec;
            "ClientIP".clone_into(&mut spec.session_affinity);
            spec.session_affinity_config = Some(SessionAffinityConfig {
                client_ip: Some(ClientIpConfig {
                    timeout_seconds: Some(60),
                }),
            });
        }
    }
    cluster
}

fn from(host: u8) -> FirstPacket {
    FirstPacket {
        node: "node-1".to_owned(),
        source: Source::Pod([10, 244, 1, host].into()),
        destination: "10.96.0.40:80".parse().unwrap(),
        kind: PacketKind::Open(Protocol::Tcp),
    }
}

fn visit(seconds: u32, host: u8) -> Visit<'static> {
    Visit {
        at: seconds * SECOND,
        change: None,
        packet: from(host),
    }
}

fn run(
    plane: &mut impl RememberingPlane,
    visits: &[Visit<'_>],
) -> Result<Vec<Outcome>, Box<Broken>> {
    let cluster = sticky(&[HERE, THERE]);
    check_affinity(plane, &cluster, visits)
}

/// The step at which a faulty double is caught; `None` if it is not.
#[track_caller]
fn check_caught(fault: Fault, visits: &[Visit<'_>], at: Option<usize>) {
    let caught = run(&mut Double::new(fault), visits).err();
    assert_eq!(caught.map(|broken| broken.step), at, "{fault:?}");
    run(&mut Double::new(Fault::None), visits).unwrap_or_else(|broken| panic!("{broken}"));
}

/// PROXY-32: a second connection goes where the first one went.
#[test]
fn proxy_32_a_client_stays() {
    let visits = [visit(0, 9), visit(1, 9), visit(2, 9)];
    check_caught(Fault::NeverSticks, &visits, Some(1));
}

/// PROXY-32: the key is the client's address, so others are free to go elsewhere. A client that goes where another
/// one went is not wrong, but one that is sent where it was not is.
#[test]
fn proxy_32_each_client_stays_for_itself() {
    let visits = [visit(0, 9), visit(1, 10), visit(2, 9), visit(3, 10)];
    check_caught(Fault::ForgetsWho, &visits, None);
    let outcomes = run(&mut Double::new(Fault::None), &visits).unwrap();
    assert_eq!(outcomes[0], outcomes[2]);
    assert_eq!(outcomes[1], outcomes[3]);
    assert_ne!(outcomes[0], outcomes[1]);
}

/// PROXY-32: every connection starts the timeout anew.
#[test]
fn proxy_32_connections_refresh() {
    let visits = [visit(0, 9), visit(50, 9), visit(60, 10), visit(100, 9)];
    check_caught(Fault::NeverRefreshes, &visits, Some(3));
}

/// PROXY-32: after the timeout a client is new. Who goes on sticking is not wrong about one connection, but the
/// oracle allows the others again.
#[test]
fn proxy_32_the_timeout_ends_it() {
    let visits = [visit(0, 9), visit(61, 9)];
    let outcomes = run(&mut Double::new(Fault::None), &visits).unwrap();
    assert_ne!(outcomes[0], outcomes[1]);
    check_caught(Fault::NeverExpires, &visits, None);
}

/// PROXY-32: an endpoint that is gone is not gone to, and not remembered when it comes back.
#[test]
fn proxy_32_it_dies_with_its_endpoint() {
    let (only_there, only_here) = (sticky(&[THERE]), sticky(&[HERE]));
    let after = |seconds, cluster| Visit {
        change: Some(cluster),
        ..visit(seconds, 9)
    };
    let visits = [visit(0, 9), after(1, &only_there), after(2, &only_here)];
    check_caught(Fault::OutlivesEndpoint, &visits, Some(1));
}

/// PROXY-32: compiled rules keep the promise: over the timeout, past it, for several clients, after a change.
#[test]
fn proxy_32_compiled_rules_keep_it() {
    let (only_there, both) = (sticky(&[THERE]), sticky(&[HERE, THERE]));
    let after = |seconds, cluster| Visit {
        change: Some(cluster),
        ..visit(seconds, 9)
    };
    let mut visits: Vec<Visit<'_>> = (0..20).map(|nth| visit(nth * 10, 9)).collect();
    visits.extend((0..20).map(|nth| visit(200 + nth, 10 + u8::try_from(nth % 5).unwrap())));
    visits.extend((0..20).map(|nth| visit(300 + nth * 61, 9)));
    visits.extend([after(3_000, &only_there), after(3_001, &both)]);
    visits.extend((0..10).map(|nth| visit(3_002 + nth, 9)));
    for layout in LAYOUTS {
        let outcomes =
            run(&mut LayoutPlane::new(layout), &visits).unwrap_or_else(|broken| panic!("{broken}"));
        // Twenty strangers to two endpoints: all at one of them would be one chance in half a million.
        let strangers = &outcomes[40..60];
        let first = &strangers[0];
        assert!(strangers.iter().any(|one| one != first), "{layout:?}");
    }
}

/// PROXY-32: what happens to other Services is no reason to forget a client.
#[test]
fn proxy_32_unrelated_changes_leave_it() {
    let other = |endpoints: &[&str]| {
        let mut sticky = sticky(&[HERE, THERE]);
        let text = format!("{}{}", web(""), slice("b", endpoints))
            .replace("10.96.0.40", "10.96.0.41")
            .replace("name: web", "name: other")
            .replace("service-name: web", "service-name: other");
        sticky.objects.extend(cluster(&text).objects);
        sticky
    };
    let changes = [other(&[HERE]), other(&[HERE, THERE]), other(&[])];
    let mut visits = vec![visit(0, 9)];
    visits.extend((1..13).map(|nth| Visit {
        change: Some(&changes[nth as usize % changes.len()]),
        ..visit(nth, 9)
    }));
    for layout in LAYOUTS {
        let outcomes =
            run(&mut LayoutPlane::new(layout), &visits).unwrap_or_else(|broken| panic!("{broken}"));
        assert!(
            outcomes.iter().all(|one| *one == outcomes[0]),
            "{layout:?}: {outcomes:?}"
        );
    }
}

/// PROXY-32: the client is remembered per service port, and only where affinity is asked for.
#[test]
fn proxy_32_only_where_it_is_asked_for() {
    let free = cluster(&format!("{}{}", web(""), slice("a", &[HERE, THERE])));
    let visits = [visit(0, 9), visit(1, 9)];
    let outcomes = check_affinity(&mut Double::new(Fault::NeverSticks), &free, &visits).unwrap();
    assert_ne!(outcomes[0], outcomes[1]);
}

/// A broken promise is told in words.
#[test]
fn a_broken_promise_is_told_in_words() {
    let visits = [visit(0, 9), visit(1, 9)];
    let broken = run(&mut Double::new(Fault::NeverSticks), &visits).unwrap_err();
    let ruling = broken.allowed.alternatives().next().map(|one| one.ruling);
    assert_eq!(ruling, Some(Ruling::Affinity));
    assert_eq!(
        broken.to_string(),
        "step 1, at 1s: TCP to 10.96.0.40:80 on node-1, from its Pod 10.244.1.9
allowed: the client was with this endpoint a short while ago (PROXY-32):
    1: goes to 10.244.1.5:8080, client visible
the data plane: goes to 10.244.2.6:8080, client visible"
    );
}
