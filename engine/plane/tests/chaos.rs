//! Whatever happens to packets: what TCP delivers is what was sent, every connection has one outcome, and in the end
//! nothing is left.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::SimTime;
use common::{Lab, VIP, service};
use proptest::prelude::*;
use switchboard_plane::{HostId, Impairment, NodeId, PlaneEvent, Share, SocketId};

/// Losses up to a fifth: TCP gets through.
fn bearable() -> impl Strategy<Value = Impairment> {
    (
        (0_u64..50, 0_u64..50),
        (0_u32..200_000, 0_u32..300_000, 0_u32..300_000),
        prop::option::of(1_000_000_u64..1_000_000_000),
        prop::option::of(1280_usize..1500),
    )
        .prop_map(|((delay, jitter), (loss, duplicate, reorder), rate, mtu)| {
            let share = |millionths| Share::per_million(millionths).unwrap();
            Impairment {
                delay: Duration::from_millis(delay),
                jitter: Duration::from_millis(jitter),
                loss: share(loss),
                duplicate: share(duplicate),
                reorder: share(reorder),
                rate,
                mtu,
                cut: false,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Through a Service and back, over a bad link.
    #[test]
    fn tcp_delivers_exactly_what_was_sent(
        seed: u64,
        impairment in bearable(),
        sizes in prop::collection::vec(1_usize..20_000, 1..4),
    ) {
        let mut lab = Lab::seeded(seed);
        for node in 0..3 {
            lab.set_tables(node, service(VIP, &["10.244.3.3:80"]));
        }
        lab.impair("node-a", "node-c", impairment).unwrap();
        let mut sent = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let socket = lab.hold("pod-a2", "10.96.0.40:80");
            let pattern = (0..size).map(|at| (at * 31 + number + at / 256).to_le_bytes()[0]);
            let bytes: Vec<u8> = pattern.collect();
            lab.plane.send(socket, &bytes).unwrap();
            sent.push((socket, bytes));
        }
        // Who closes first waits for the rest no longer than `tcp_fin_timeout`: here everything is there by then.
        lab.run_until(Duration::from_secs(5_000));
        for (socket, bytes) in &sent {
            let received = lab.received(*socket);
            prop_assert!(received == *bytes, "{} of {} bytes", received.len(), bytes.len());
            lab.plane.close(*socket);
        }
        lab.run();
        for (socket, _) in sent {
            let events = lab.events_of(socket);
            prop_assert!(matches!(events.last(), Some(PlaneEvent::Closed { .. })), "{events:?}");
        }
    }
}

/// Something that happens in the course of a run.
#[derive(Clone, Debug)]
enum Turn {
    /// A connection between two of all hosts, or to the Service.
    Connect {
        from: usize,
        to: Option<usize>,
    },
    Impair {
        ends: [usize; 2],
        with: Impairment,
    },
    Cut {
        ends: [usize; 2],
    },
    Mend,
    Stop {
        node: usize,
    },
    Wake,
    Crash {
        pod: usize,
    },
}

fn turn() -> impl Strategy<Value = Turn> {
    let ends = || prop::array::uniform2(0_usize..100);
    prop_oneof![
        8 => (0_usize..100, prop::option::of(0_usize..100))
            .prop_map(|(from, to)| Turn::Connect { from, to }),
        2 => (ends(), bearable()).prop_map(|(ends, with)| Turn::Impair { ends, with }),
        1 => ends().prop_map(|ends| Turn::Cut { ends }),
        1 => Just(Turn::Mend),
        1 => (0_usize..100).prop_map(|node| Turn::Stop { node }),
        2 => Just(Turn::Wake),
        1 => (0_usize..100).prop_map(|pod| Turn::Crash { pod }),
    ]
}

/// A network with more nodes than the usual one, and what was done to it.
struct Chaos {
    lab: Lab,
    nodes: Vec<(NodeId, String)>,
    /// Name, and address at which it serves.
    pods: Vec<(String, String)>,
    links: BTreeSet<[String; 2]>,
    stopped: BTreeSet<usize>,
    clients: Vec<SocketId>,
}

impl Chaos {
    fn new(seed: u64, zones: &[usize], endpoints: &[usize]) -> Self {
        let mut lab = Lab::seeded(seed);
        let names = ["a", "b", "c"].into_iter().map(str::to_owned);
        let mut nodes: Vec<(NodeId, String)> = lab.nodes.into_iter().zip(names).collect();
        for (index, zone) in zones.iter().enumerate() {
            let (name, number) = (format!("n{index}-"), index + 4);
            let node = lab.add_node(&name, &format!("zone-{zone}"), number);
            nodes.push((node, name));
        }
        let pods: Vec<(String, String)> = nodes
            .iter()
            .enumerate()
            .flat_map(|(index, (_, name))| {
                (2..5).map(move |pod| {
                    let address = format!("10.244.{}.{pod}:80", index + 1);
                    (format!("pod-{name}{pod}"), address)
                })
            })
            .collect();
        let backends: BTreeSet<&str> = endpoints
            .iter()
            .map(|index| pods[index % pods.len()].1.as_str())
            .collect();
        let backends: Vec<&str> = backends.into_iter().collect();
        for (node, _) in &nodes {
            lab.set_tables_of(*node, service(VIP, &backends));
        }
        Self {
            lab,
            nodes,
            pods,
            links: BTreeSet::new(),
            stopped: BTreeSet::new(),
            clients: Vec::new(),
        }
    }

    /// Plays turns, with pauses of so many milliseconds behind each, and goes on to the end once all is mended: a server that is
    /// cut off for good never hears that its client gave up, as on any network.
    fn play_all(&mut self, turns: Vec<(Turn, u64)>) {
        let mut at = Duration::ZERO;
        for (turn, pause) in turns {
            self.play(turn);
            at += Duration::from_millis(pause);
            self.lab.run_until(at);
        }
        self.play(Turn::Mend);
        self.play(Turn::Wake);
        self.lab.run();
    }

    fn play(&mut self, turn: Turn) {
        match turn {
            Turn::Connect { from, to } => {
                let from = self.lab.host(&self.pods[from % self.pods.len()].0);
                let to = match to {
                    Some(pod) => self.pods[pod % self.pods.len()].1.clone(),
                    None => format!("{VIP}:80"),
                };
                let socket = self.lab.connect(from, &to);
                self.clients.push(socket);
            }
            Turn::Impair { ends, with } => self.impair(ends, with),
            Turn::Cut { ends } => {
                let cut = Impairment {
                    cut: true,
                    ..Impairment::default()
                };
                self.impair(ends, cut);
            }
            Turn::Mend => {
                for [a, b] in std::mem::take(&mut self.links) {
                    self.lab.mend(&a, &b);
                }
            }
            Turn::Stop { node } => {
                let node = node % self.nodes.len();
                self.lab.plane.set_node_up(self.nodes[node].0, false);
                self.stopped.insert(node);
            }
            Turn::Wake => {
                for node in std::mem::take(&mut self.stopped) {
                    self.lab.plane.set_node_up(self.nodes[node].0, true);
                }
            }
            Turn::Crash { pod } => {
                let host = self.lab.host(&self.pods[pod % self.pods.len()].0);
                self.lab.plane.reset_host(host);
                self.clients.retain(|socket| socket.host() != host);
            }
        }
    }

    /// Some link: between two nodes, two zones, or a Pod and its node.
    fn impair(&mut self, [first, second]: [usize; 2], with: Impairment) {
        let node = |index: usize| format!("node-{}", self.nodes[index % self.nodes.len()].1);
        let ends = match (first + second) % 3 {
            0 => [node(first), node(second)],
            1 => ["zone-1".to_owned(), "zone-2".to_owned()],
            _ => {
                let pod = first % self.pods.len();
                [self.pods[pod].0.clone(), node(pod / 3)]
            }
        };
        let [a, b] = &ends;
        if self.lab.impair(a, b, with).is_ok() {
            self.links.insert(ends);
        }
    }

    fn hosts(&self) -> Vec<HostId> {
        let of_nodes = self
            .nodes
            .iter()
            .map(|(node, _)| self.lab.plane.node_host(*node));
        let pods = self.pods.iter().map(|(name, _)| self.lab.host(name));
        of_nodes.chain(pods).collect()
    }

    /// Each connection that its application did not die with begins at most once, and ends exactly once, at last.
    fn check_outcomes(&self) {
        for socket in &self.clients {
            let events = self.lab.events_of(*socket);
            let begun = |event: &&&PlaneEvent| matches!(event, PlaneEvent::Connected { .. });
            let ended = |event: &&&PlaneEvent| {
                matches!(event, PlaneEvent::Closed { .. } | PlaneEvent::Failed { .. })
            };
            let counts = (
                events.iter().filter(begun).count(),
                events.iter().filter(ended).count(),
            );
            let last = events.last().is_some_and(|event| ended(&event));
            assert!(counts.0 <= 1 && counts.1 == 1 && last, "{events:?}");
            let received = self.lab.received(*socket);
            assert!(b"hello".starts_with(&received), "{received:?}");
        }
    }

    fn check_nothing_left(&mut self, sockets_before: &BTreeMap<HostId, usize>) {
        let now = self.lab.plane.now();
        for (host, before) in sockets_before {
            let left = self.lab.plane.socket_count(*host);
            assert!(left <= *before, "{left} sockets of {host:?}");
        }
        for (node, _) in &self.nodes {
            self.lab.plane.node_state_mut(*node).expire(now);
            let left = self.lab.plane.node_state(*node).len();
            assert_eq!(left, 0, "connections on {node:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_connection_ends_once_and_leaves_nothing(
        seed: u64,
        zones in prop::collection::vec(1_usize..4, 0..4),
        endpoints in prop::collection::vec(0_usize..100, 1..5),
        turns in prop::collection::vec((turn(), 0_u64..3_000), 1..40),
    ) {
        let mut chaos = Chaos::new(seed, &zones, &endpoints);
        let before: BTreeMap<HostId, usize> = chaos
            .hosts()
            .into_iter()
            .map(|host| (host, chaos.lab.plane.socket_count(host)))
            .collect();
        chaos.play_all(turns);
        chaos.check_outcomes();
        // Conntrack keeps an established connection for five days.
        chaos.lab.run_until(Duration::from_secs(6 * 24 * 3600));
        chaos.check_nothing_left(&before);
    }

    /// To run until an instant, or until somebody is told of something, is to step up to there.
    #[test]
    fn strides_are_steps(
        seed: u64,
        zones in prop::collection::vec(1_usize..4, 0..3),
        endpoints in prop::collection::vec(0_usize..100, 1..5),
        turns in prop::collection::vec((turn(), 0_u64..3_000), 1..20),
        logs_decisions: bool,
    ) {
        let [stepped, strode] = [false, true].map(|in_strides| {
            let mut chaos = Chaos::new(seed, &zones, &endpoints);
            chaos.lab.in_strides = in_strides;
            chaos.lab.plane.log_decisions(logs_decisions);
            chaos.play_all(turns.clone());
            chaos.lab.log
        });
        prop_assert_eq!(stepped, strode);
    }

    /// Over links that lose nothing for good, no node meets an answer that it does not know, and every client is
    /// answered by whom it asked.
    #[test]
    fn every_reply_is_translated_back(
        seed: u64,
        endpoints in prop::collection::vec(0_usize..100, 1..5),
        froms in prop::collection::vec(0_usize..100, 1..20),
        delay in 0_u64..30,
        shares in prop::array::uniform2(0_u32..500_000),
    ) {
        let mut chaos = Chaos::new(seed, &[], &endpoints);
        let [duplicate, reorder] = shares.map(|share| Share::per_million(share).unwrap());
        let impairment = Impairment {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(delay / 2),
            duplicate,
            reorder,
            ..Impairment::default()
        };
        for (a, b) in [("zone-1", "zone-2"), ("node-a", "node-b"), ("zone-2", "zone-2")] {
            chaos.lab.impair(a, b, impairment.clone()).unwrap();
        }
        for from in froms {
            chaos.play(Turn::Connect { from, to: None });
            chaos.lab.run_until(chaos.lab.plane.now().since(SimTime::ZERO) + Duration::from_millis(7));
        }
        chaos.lab.run();
        for socket in &chaos.clients {
            chaos.lab.check_exchange(*socket);
        }
        for (_, event) in &chaos.lab.log {
            if let PlaneEvent::Decision { tuple, .. } = event {
                prop_assert_eq!(tuple.destination_port(), Some(80), "{}", tuple);
            }
        }
    }
}
