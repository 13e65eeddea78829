//! One node, twice: in the kernel and in the evaluator, step by step with the same packets.
//!
//! Whatever the kernel chooses at random must be one of the evaluator's choices, and is then the evaluator's as
//! well, so that both remember the same connections. The bytes that leave must be the same.

use std::fmt;
use std::fs::OpenOptions;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use base::SimTime;
use netfilter::{
    Chooser, Explorer, Ingress, NoTrace, NodeState, NodeTables, Packet, Ruleset, Verdict, eval,
    explore,
};
use ruleset::Family;
use ruleset::xt::Probability;

use crate::backend::{Backend, text};
use crate::netns::{Netns, skip};
use crate::packets::{answer, chosen_port, comparable, destination, source, transport};
use crate::site::{Emission, Site, Wires, run};

/// Milliseconds to wait for a packet that must come, and for one that must not. A packet that leaves a node has
/// left when the one that caused it is injected; what is late all the same fails the next step.
pub(crate) const PATIENCE: u32 = 500;
pub(crate) const IMPATIENCE: u32 = 2;

/// In the environment of the process that is the node: which backend.
const ROLE: &str = "SWITCHBOARD_TEST_NODE";
/// The far ends of interfaces come from here.
const TUN: &str = "/dev/net/tun";
const DONE: &str = "the node has seen everything";

/// Runs a test once per backend, each time in a namespace that is the node. `test` is the name of the calling
/// test, which is run again in there, by another process: nobody else's packets are ever in the way.
pub(crate) fn on_every_backend(test: &str, body: impl Fn(&mut Lab)) {
    on(&Backend::ALL, test, body);
}

/// The same with some backends only.
pub(crate) fn on(backends: &[Backend], test: &str, body: impl Fn(&mut Lab)) {
    if let Ok(role) = std::env::var(ROLE) {
        let backend = Backend::ALL.into_iter().find(|one| one.name() == role);
        body(&mut Lab::new(backend.expect("roles are names of backends")));
        println!("{DONE}");
        return;
    }
    for backend in backends {
        let label = format!("{}-{}", test.replace([':', '_'], ""), backend.name());
        let Some(netns) = Netns::create(&label) else {
            return;
        };
        let tun = OpenOptions::new().read(true).write(true).open(TUN);
        if let Err(error) = tun {
            return skip(&format!("{TUN}: {error}"));
        }
        if let Err(reason) = backend.is_usable(netns.name()) {
            skip(&reason);
            continue;
        }
        let own = std::env::current_exe().expect("the test is a program");
        let output = netns
            .command(&own)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(ROLE, backend.name())
            .output()
            .expect("`ip` made the namespace");
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
        let passed = output.status.success() && stdout.contains(DONE);
        assert!(
            passed,
            "{test} with {}:\n{stdout}\n{stderr}",
            backend.name()
        );
    }
}

/// The node in both forms.
pub(crate) struct Lab {
    pub(crate) backend: Backend,
    pub(crate) wires: Wires,
    site: Site,
    owned: Vec<Ruleset>,
    tables: NodeTables,
    state: NodeState,
    next_port: u16,
}

/// What became of a packet. Prints what a test cares for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It left through an interface.
    Forwarded(Emission),
    /// The node itself took it.
    Delivered(Packet),
    /// It was refused, with this answer.
    Refused(Packet),
    /// It was lost.
    Dropped,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = |packet: &Packet| match packet.tuple() {
            Some(tuple) if tuple.destination_port().is_some() => {
                format!("{} > {}", tuple.source(), tuple.destination_socket())
            }
            _ => format!("{} > {}", source(packet), destination(packet)),
        };
        match self {
            Self::Forwarded((interface, packet)) => write!(f, "{interface}: {}", ends(packet)),
            Self::Delivered(packet) => write!(f, "delivered: {}", ends(packet)),
            Self::Refused(answer) if answer.tuple().is_some() => f.write_str("reset"),
            Self::Refused(answer) => {
                let icmp = transport(answer);
                write!(f, "icmp {}/{} from {}", icmp[0], icmp[1], source(answer))
            }
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

/// One thing that the evaluator allows to happen.
pub(crate) struct Allowed {
    pub(crate) fate: Fate,
    /// What leaves the node because of it.
    pub(crate) emission: Option<Emission>,
    state: NodeState,
}

impl Lab {
    fn new(backend: Backend) -> Self {
        Self {
            backend,
            wires: Wires::new(),
            site: Site::new(),
            owned: Vec::new(),
            tables: NodeTables::empty(),
            state: NodeState::new(),
            next_port: 10_000,
        }
    }

    /// Makes these the node's rules, with no connections known.
    pub(crate) fn load(&mut self, owned: Vec<Ruleset>) {
        self.backend.load(&owned);
        run("conntrack", &["--flush"], "");
        self.evaluate(owned);
        self.wires.left();
    }

    /// Gives rules to the evaluator only.
    pub(crate) fn evaluate(&mut self, owned: Vec<Ruleset>) {
        self.tables = NodeTables::new(&owned).expect("tables that kernels load");
        self.owned = owned;
        self.state = NodeState::new();
    }

    /// The node's address of a family, with a port that nobody has used yet.
    pub(crate) fn own_socket(&mut self, family: Family) -> SocketAddr {
        let mut addresses = self.site.addresses().iter().copied();
        let own = addresses.find(|address| Family::of(*address) == family);
        let address = own.expect("the node has addresses of both families");
        self.fresh_socket(address)
    }

    /// An address with a port that nobody has used yet.
    pub(crate) fn fresh_socket(&mut self, address: IpAddr) -> SocketAddr {
        self.next_port += 1;
        SocketAddr::new(address, self.next_port)
    }

    /// Has a packet arrive where its source is, and sees what becomes of it.
    #[track_caller]
    pub(crate) fn arrive(&mut self, packet: &Packet) -> Fate {
        let interface = self.site.interface(source(packet));
        self.expect_silence();
        let door = Ingress::Interface(interface);
        let silent = self
            .allowed(packet, door, None)
            .iter()
            .all(|one| one.emission.is_none());
        self.wires.inject(interface, packet);
        let seen = self.wires.wait(if silent { IMPATIENCE } else { PATIENCE });
        let comparable_seen: Vec<_> = seen.iter().map(bytes).collect();
        self.follow(packet, door, &seen, |one| {
            comparable_seen == one.emission.iter().map(bytes).collect::<Vec<_>>()
        })
    }

    /// Has packets arrive, one after the other; each meets the fate that is written next to it.
    #[track_caller]
    pub(crate) fn expect(&mut self, packets: &[(Packet, &str)]) {
        for (packet, expected) in packets {
            let fate = self.arrive(packet);
            assert_eq!(fate.to_string(), *expected, "{packet:?}\n{}", self.rules());
        }
    }

    /// Has a packet arrive, and if it is forwarded the answer comes back and the sender goes on.
    #[track_caller]
    pub(crate) fn converse(&mut self, packet: &Packet) -> Fate {
        let fate = self.arrive(packet);
        let Fate::Forwarded((_, forwarded)) = &fate else {
            return fate;
        };
        let asked = packet.tuple().expect("conversations start with flows");
        let reply = answer(forwarded, true).expect("first packets have answers");
        let Fate::Forwarded((_, reply)) = self.arrive(&reply) else {
            panic!("{packet:?} went out as {forwarded:?}, but {reply:?} did not come back");
        };
        assert_eq!(
            reply.tuple(),
            Some(asked.inverse()),
            "the answer to {packet:?}"
        );
        let next = answer(&reply, true).unwrap_or_else(|| packet.clone());
        let Fate::Forwarded((_, next)) = self.arrive(&next) else {
            panic!("{packet:?} went out as {forwarded:?}, but the next one did not");
        };
        assert_eq!(
            next.tuple(),
            forwarded.tuple(),
            "the second after {packet:?}"
        );
        fate
    }

    /// What the evaluator allows, when the kernel has chosen this source port where it had a choice.
    pub(crate) fn allowed(
        &self,
        packet: &Packet,
        door: Ingress<'_>,
        chosen: Option<u16>,
    ) -> Vec<Allowed> {
        let outcomes = explore(|explorer| {
            let mut chooser = Observed { explorer, chosen };
            self.eval(&self.state, packet, door, &mut chooser)
        });
        let outcomes = outcomes.expect("few rules of the tests are random");
        outcomes.into_iter().map(|(_, allowed)| allowed).collect()
    }

    fn eval(
        &self,
        state: &NodeState,
        packet: &Packet,
        door: Ingress<'_>,
        chooser: &mut Observed<'_>,
    ) -> Allowed {
        let (tables, site, now) = (&self.tables, &self.site, SimTime::ZERO);
        let packet = packet.clone();
        let evaluation = eval(
            tables,
            state,
            site,
            packet,
            door,
            now,
            chooser,
            &mut NoTrace,
        );
        let mut state = state.clone();
        state.commit(evaluation.effects);
        let towards = |packet: &Packet| self.site.interface(destination(packet));
        let (fate, emission) = match evaluation.verdict {
            Verdict::Forward { packet, .. } => {
                let emission = (towards(&packet), packet);
                (Fate::Forwarded(emission.clone()), Some(emission))
            }
            // The node refuses itself what it refuses.
            Verdict::Reject { reply, .. } => {
                let emission = (door != Ingress::Local).then(|| (towards(&reply), reply.clone()));
                (Fate::Refused(reply), emission)
            }
            Verdict::Drop(_) => (Fate::Dropped, None),
            Verdict::Unknown(doubt) => panic!("no dump was read: {}", doubt.question),
            Verdict::Deliver(packet) => {
                let answer = match door {
                    Ingress::Local => None,
                    Ingress::Interface(_) => answer(&packet, false),
                };
                let answered =
                    answer.map(|answer| self.eval(&state, &answer, Ingress::Local, chooser));
                let emission = answered.and_then(|answered| {
                    state = answered.state;
                    answered.emission
                });
                (Fate::Delivered(packet), emission)
            }
        };
        Allowed {
            fate,
            emission,
            state,
        }
    }

    /// Finds what was seen among what is allowed, and remembers it as what happened.
    #[track_caller]
    pub(crate) fn follow(
        &mut self,
        packet: &Packet,
        door: Ingress<'_>,
        seen: &[Emission],
        matches: impl Fn(&Allowed) -> bool,
    ) -> Fate {
        let flow = seen.first().and_then(|(_, seen)| seen.tuple());
        let allowed = self.allowed(packet, door, flow.as_ref().and_then(chosen_port));
        let fates: Vec<_> = allowed
            .iter()
            .map(|one| format!("{}: {}", one.fate, shown(one.emission.as_slice())))
            .collect();
        match allowed.into_iter().find(matches) {
            Some(happened) => {
                self.state = happened.state;
                happened.fate
            }
            None => panic!(
                "{packet:?} by {door:?}: the kernel sent {},\nthe evaluator allows\n{}\n{}",
                shown(seen),
                fates.join("\n"),
                self.rules()
            ),
        }
    }

    /// A flow is over in the kernel, by steps that the evaluator was not shown.
    pub(crate) fn forget(&mut self, first: &Packet) {
        let flow = first.tuple();
        self.state.delete(|entry| Some(*entry.original()) == flow);
    }

    /// Nothing has left that no step has caused.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        let late = self.wires.left();
        assert!(
            late.is_empty(),
            "too late for its step: {late:?}\n{}",
            self.rules()
        );
    }

    fn rules(&self) -> String {
        self.owned.iter().map(text).collect()
    }
}

/// Emissions as they are compared, for people.
fn shown(emissions: &[Emission]) -> String {
    let one = |emission: &Emission| {
        let (interface, bytes) = bytes(emission);
        format!("{interface} {:?} {bytes:02x?}", emission.1)
    };
    emissions.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// An emission as it is compared.
pub(crate) fn bytes((interface, packet): &Emission) -> (&'static str, Vec<u8>) {
    (interface, comparable(packet))
}

/// Explores every choice but for ports: there the kernel has chosen already.
struct Observed<'a> {
    explorer: &'a mut Explorer,
    chosen: Option<u16>,
}

impl Chooser for Observed<'_> {
    fn random(&mut self, probability: Probability) -> bool {
        self.explorer.random(probability)
    }

    fn port(&mut self, range: RangeInclusive<u16>) -> u16 {
        let chosen = self.chosen.filter(|port| range.contains(port));
        chosen.unwrap_or_else(|| self.explorer.port(range))
    }

    fn numgen(&mut self, modulus: u32) -> u32 {
        self.explorer.numgen(modulus)
    }
}
