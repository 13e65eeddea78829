//! Exchanges that are foreseen against the packets that they stand for.

use std::fmt::Write as _;

use control::{
    Fault, FaultId, Impairment, PerMillion, Rate, Reuse, Sender, TrafficReport, TrafficRequest,
};
use proptest::prelude::*;

use super::*;

/// Backends that think before they answer, and a door for those outside.
const MORE: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: thinker
  labels: {app: web}
  annotations: {switchboard.dev/respond-after: 3ms}
spec:
  nodeName: node-a
  containers: [{name: c, image: c, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: door}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {ipFamilies: [IPv6], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

/// Who asks whom.
#[derive(Clone, Debug)]
struct Stream {
    from: Source,
    to: Goal,
    per_second: u32,
    reuse: Reuse,
    payload: usize,
}

#[derive(Clone, Copy, Debug)]
enum Goal {
    Service(&'static str),
    /// The node port of a node.
    Door(u8),
    /// A Pod's own address.
    Backend,
}

/// What disturbs.
#[derive(Clone, Copy, Debug)]
enum Act {
    Delete(usize),
    Create(usize),
    Delay,
    Lose,
    Heal,
    Connect,
    Stop(usize),
}

#[derive(Clone, Debug)]
struct Case {
    mode: ProxyMode,
    streams: Vec<Stream>,
    /// Microseconds that pass before each.
    acts: Vec<(u64, Act)>,
}

fn streams() -> impl Strategy<Value = Stream> {
    let pods = vec!["client", "web-1", "web-2"];
    let source = prop_oneof![
        4 => prop::sample::select(pods)
            .prop_map(|name| Source::Pod(ObjectKey::new(Kind::Pod, "default", name))),
        1 => Just(Source::Node("node-a".to_owned())),
        1 => Just(Source::Outside("laptop".to_owned())),
    ];
    let to = prop_oneof![
        4 => prop::sample::select(vec!["web", "six", "sticky"]).prop_map(Goal::Service),
        2 => (1_u8..=2).prop_map(Goal::Door),
        1 => Just(Goal::Backend),
    ];
    let reuse = prop::sample::select(vec![Reuse::None, Reuse::None, Reuse::Keepalive]);
    (source, to, 1_u32..400, reuse, 0_usize..9000).prop_map(
        |(from, to, per_second, reuse, payload)| Stream {
            from,
            to,
            per_second,
            reuse,
            payload,
        },
    )
}

fn cases() -> impl Strategy<Value = Case> {
    let act = prop_oneof![
        2 => (0_usize..4).prop_map(Act::Delete),
        2 => (0_usize..4).prop_map(Act::Create),
        1 => Just(Act::Delay),
        1 => Just(Act::Lose),
        2 => Just(Act::Heal),
        1 => Just(Act::Connect),
        1 => (0_usize..3).prop_map(Act::Stop),
    ];
    let acts = prop::collection::vec((0_u64..900_000, act), 1..8);
    let mode = prop::sample::select(ProxyMode::ALL.to_vec());
    (mode, prop::collection::vec(streams(), 1..4), acts).prop_map(|(mode, streams, acts)| Case {
        mode,
        streams,
        acts,
    })
}

/// A run, with all that anybody could have seen on its way.
struct Run {
    sim: Sim,
    fault: Option<FaultId>,
    going: Vec<bool>,
    seen: String,
    /// How often something was done.
    turns: u64,
}

impl Run {
    fn new(case: &Case, foresees: bool) -> Self {
        let mut sim = cluster_in(case.mode);
        sim.foresees = foresees;
        apply(&mut sim, MORE);
        run_to(&mut sim, 10_000);
        let mut run = Self {
            sim,
            fault: None,
            going: Vec::new(),
            seen: String::new(),
            turns: 0,
        };
        for (number, stream) in case.streams.iter().enumerate() {
            let request = run.request(number, stream);
            run.sim.start_traffic(&request).unwrap();
            run.going.push(true);
        }
        run
    }

    fn request(&self, number: usize, stream: &Stream) -> TrafficRequest {
        let api = self.sim.control().api();
        let (address, port) = match stream.to {
            Goal::Service(name) => {
                let service = api.service("default", name).unwrap();
                (service.addresses().next().unwrap(), 80)
            }
            Goal::Door(node) => (IpAddr::from([192, 168, 1, node]), 30080),
            Goal::Backend => (IpAddr::from([10, 244, 2, 2]), 8080),
        };
        TrafficRequest {
            id: number.to_string(),
            from: vec![Sender::One(stream.from.clone())],
            to: Target {
                host: Host::Address(address),
                port,
            },
            protocol: Protocol::TCP,
            rate: format!("{}/s", stream.per_second).parse::<Rate>().unwrap(),
            span: None,
            reuse: stream.reuse,
            timeout: Duration::from_millis(700),
            payload: vec![b'x'; stream.payload],
        }
    }

    fn pass(&mut self, micros: u64) {
        let at = self.sim.now() + Duration::from_micros(micros);
        self.sim.obey_signals();
        while self.sim.do_next(at, self.sim.foresees) {
            self.turns += 1;
        }
        self.sim.advance_to(at);
    }

    fn act(&mut self, act: Act) {
        let sim = &mut self.sim;
        match act {
            Act::Delete(number) => {
                let key = ObjectKey::new(Kind::Pod, "default", &format!("web-{number}"));
                drop(sim.delete(&key));
            }
            Act::Create(number) => {
                let node = ["node-a", "node-b"][number % 2];
                let name = format!("web-{number}");
                let key = ObjectKey::new(Kind::Pod, "default", &name);
                if sim.get(&key).is_err() {
                    apply(sim, &backend(&name, node));
                }
            }
            Act::Delay => {
                let delay = Duration::from_millis(2);
                let until = Some(Duration::from_millis(301));
                self.impair(
                    Impairment {
                        delay,
                        ..Impairment::default()
                    },
                    until,
                );
            }
            Act::Lose => {
                let loss = PerMillion::new(300_000).unwrap();
                self.impair(
                    Impairment {
                        loss,
                        ..Impairment::default()
                    },
                    None,
                );
            }
            Act::Heal => {
                if let Some(fault) = self.fault.take() {
                    sim.heal(fault);
                }
            }
            Act::Connect => {
                let seen = by_name(sim, 2);
                writeln!(self.seen, "{seen:?}").unwrap();
            }
            Act::Stop(number) => self.stop(number),
        }
    }

    fn impair(&mut self, impairment: Impairment, span: Option<Duration>) {
        if self.fault.is_none() {
            let fault = Fault::Link {
                a: control::LinkEnd::Zone("zone-1".to_owned()),
                b: control::LinkEnd::Node("node-b".to_owned()),
                impairment,
            };
            self.fault = self.sim.fault(fault, span).ok();
        }
    }

    fn stop(&mut self, number: usize) {
        if self.going.get(number) == Some(&true) {
            self.going[number] = false;
            let report: TrafficReport = self.sim.stop_traffic(&number.to_string()).unwrap();
            writeln!(self.seen, "{report:?}").unwrap();
        }
    }

    fn look(&mut self) {
        let now = self.sim.now();
        let plane = &self.sim.plane;
        writeln!(self.seen, "{now} {:?}", plane.next_event_at()).unwrap();
        for node in self.sim.nodes.values() {
            let state = plane.node_state(*node);
            for entry in state.entries(now) {
                writeln!(self.seen, "{entry:?}").unwrap();
            }
        }
        let pods = self.sim.fleet.running();
        let pods = pods.filter_map(|key| self.sim.fleet.host(key));
        let nodes = self.sim.nodes.values().map(|node| plane.node_host(*node));
        let outside = self.sim.outside.values().copied();
        for host in pods.chain(nodes).chain(outside) {
            write!(self.seen, "{} ", plane.socket_count(host)).unwrap();
        }
    }
}

fn play(case: &Case, foresees: bool) -> (String, u64) {
    let mut run = Run::new(case, foresees);
    for (micros, act) in &case.acts {
        run.pass(*micros);
        run.look();
        run.act(*act);
        run.look();
    }
    run.pass(1_500_000);
    (0..run.going.len()).for_each(|number| run.stop(number));
    run.look();
    (run.seen, run.turns)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever happens meanwhile, nobody can tell that packets were not sent.
    #[test]
    fn what_is_foreseen_is_what_happens(case in cases()) {
        let (seen, _) = play(&case, true);
        let (sent, _) = play(&case, false);
        for (seen, sent) in seen.lines().zip(sent.lines()) {
            prop_assert_eq!(seen, sent);
        }
        prop_assert_eq!(seen.len(), sent.len());
    }
}

#[test]
fn undisturbed_traffic_is_foreseen() {
    for mode in [ProxyMode::Iptables, ProxyMode::Nftables, ProxyMode::Flat] {
        for (to, payload) in [
            (Goal::Service("web"), 5),
            (Goal::Service("six"), 0),
            (Goal::Door(2), 2000),
        ] {
            let case = Case {
                mode,
                streams: vec![Stream {
                    from: client(),
                    to,
                    per_second: 400,
                    reuse: Reuse::None,
                    payload,
                }],
                acts: Vec::new(),
            };
            let (seen, turns) = play(&case, true);
            let (sent, all_turns) = play(&case, false);
            for (seen, sent) in seen.lines().zip(sent.lines()) {
                assert_eq!(seen, sent, "{mode} {to:?}");
            }
            assert!(
                turns * 2 < all_turns,
                "{mode} {to:?}: {turns} of {all_turns}"
            );
        }
    }
}
