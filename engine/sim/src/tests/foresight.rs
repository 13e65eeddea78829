//! Exchanges that are foreseen against the packets that they stand for.

use std::cell::Cell;
use std::fmt::Write as _;

use control::{
    DetectLocal, Fault, FaultId, Impairment, LinkEnd, PerMillion, Place, Rate, Reuse, Sender,
    TrafficReport, TrafficRequest,
};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;

/// Backends of all manners, and Services of all kinds for them.
const MORE: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: thinker
  labels: {app: web}
  annotations: {switchboard.dev/respond-after: 3ms, switchboard.dev/on-term: drain}
spec:
  nodeName: node-a
  containers: [{name: c, image: c, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: sleeper, labels: {app: slow}, annotations: {switchboard.dev/respond-after: 80ms}}
spec: {nodeName: node-b, containers: [{name: c, image: c, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: hole, labels: {app: slow}, annotations: {switchboard.dev/hostile: blackhole}}
spec: {nodeName: node-a, containers: [{name: c, image: c, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: inward, labels: {app: slow}, annotations: {switchboard.dev/listen: '127.0.0.1:8080'}}
spec: {nodeName: node-a, containers: [{name: c, image: c, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: own, labels: {app: slow}}
spec: {nodeName: node-b, hostNetwork: true, containers: [{name: c, image: c, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: slow}
spec: {selector: {app: slow}, ports: [{port: 80, targetPort: 8080}]}
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
---
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

/// Who asks whom.
#[derive(Clone, Debug)]
struct Stream {
    from: Source,
    to: Goal,
    per_second: u32,
    reuse: Reuse,
    payload: Vec<u8>,
    timeout: u64,
}

#[derive(Clone, Copy, Debug)]
enum Goal {
    Service(&'static str),
    /// By its name.
    Named(&'static str),
    /// By the address that the load balancer gives it.
    Balanced,
    /// The node port of a node.
    Door(u8),
    /// A Pod's own address.
    Backend,
}

/// What disturbs.
#[derive(Clone, Debug)]
enum Act {
    Delete(usize),
    Create(usize),
    Fault(Fault, Option<u64>),
    Heal,
    Connect,
    Restart,
    Stop(usize),
}

#[derive(Clone, Debug)]
struct Case {
    mode: ProxyMode,
    /// Of two processes on one node, in one zone, and in two, in microseconds.
    latencies: [u64; 3],
    hairpin: bool,
    detect: DetectLocal,
    streams: Vec<Stream>,
    /// Microseconds that pass before each.
    acts: Vec<(u64, Act)>,
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0_usize..9000).prop_map(|len| vec![b'x'; len]),
        1 => prop::sample::select(vec!["keep-alive\n", "keep-alive\na\n", "keep-alive\na\nb\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

fn streams() -> impl Strategy<Value = Stream> {
    let pods = vec!["client", "web-1", "web-2"];
    let from = prop_oneof![
        4 => prop::sample::select(pods)
            .prop_map(|name| Source::Pod(ObjectKey::new(Kind::Pod, "default", name))),
        1 => Just(Source::Node("node-a".to_owned())),
        2 => Just(Source::Outside("laptop".to_owned())),
    ];
    let to = prop_oneof![
        4 => prop::sample::select(vec!["web", "six", "sticky", "slow"]).prop_map(Goal::Service),
        1 => Just(Goal::Named("web")),
        1 => Just(Goal::Balanced),
        2 => (1_u8..=2).prop_map(Goal::Door),
        2 => Just(Goal::Backend),
    ];
    let reuse = prop::sample::select(vec![Reuse::None, Reuse::None, Reuse::Keepalive]);
    let timeout = prop::sample::select(vec![700, 700, 4]);
    (from, to, 1_u32..400, reuse, payloads(), timeout).prop_map(
        |(from, to, per_second, reuse, payload, timeout)| Stream {
            from,
            to,
            per_second,
            reuse,
            payload,
            timeout,
        },
    )
}

fn faults() -> impl Strategy<Value = Fault> {
    let node = |name: &str| name.to_owned();
    let impaired = [
        Impairment {
            delay: Duration::from_millis(2),
            ..Impairment::default()
        },
        Impairment {
            loss: PerMillion::new(300_000).unwrap(),
            ..Impairment::default()
        },
        Impairment {
            mtu: Some(1280),
            ..Impairment::default()
        },
    ];
    let link = |impairment| Fault::Link {
        a: LinkEnd::Zone("zone-1".to_owned()),
        b: LinkEnd::Node("node-b".to_owned()),
        impairment,
    };
    let mut all = impaired.map(link).to_vec();
    all.extend([
        Fault::Down {
            place: Place::Node(node("node-b")),
        },
        Fault::ProxyStall {
            node: node("node-a"),
        },
        Fault::ConntrackFull {
            node: node("node-a"),
            max: 20,
        },
        Fault::PodCrash {
            pods: vec![ObjectKey::new(Kind::Pod, "default", "web-1")],
        },
    ]);
    prop::sample::select(all)
}

fn cases() -> impl Strategy<Value = Case> {
    let act = prop_oneof![
        2 => (0_usize..4).prop_map(Act::Delete),
        2 => (0_usize..4).prop_map(Act::Create),
        2 => (faults(), prop::option::of(1_u64..400)).prop_map(|(fault, span)| Act::Fault(fault, span)),
        2 => Just(Act::Heal),
        1 => Just(Act::Connect),
        1 => Just(Act::Restart),
        1 => (0_usize..3).prop_map(Act::Stop),
    ];
    let latencies = prop::sample::select(vec![
        [20, 200, 1000],
        [20, 200, 1000],
        [0, 0, 0],
        [200, 200, 200],
        [200, 100, 1000],
        [7, 33, 250_000],
    ]);
    (
        prop::sample::select(ProxyMode::ALL.to_vec()),
        latencies,
        prop::bool::weighted(0.8),
        prop::sample::select(vec![
            DetectLocal::ClusterCidr(None),
            DetectLocal::BridgeInterface("cbr0".to_owned()),
            DetectLocal::InterfaceNamePrefix("cali".to_owned()),
        ]),
        prop::collection::vec(streams(), 1..4),
        prop::collection::vec((0_u64..700_000, act), 1..8),
    )
        .prop_map(|(mode, latencies, hairpin, detect, streams, acts)| Case {
            mode,
            latencies,
            hairpin,
            detect,
            streams,
            acts,
        })
}

impl Case {
    /// One stream that nothing disturbs.
    fn quiet(mode: ProxyMode, to: Goal, payload: &[u8]) -> Self {
        Self {
            mode,
            latencies: [20, 200, 1000],
            hairpin: true,
            detect: DetectLocal::ClusterCidr(None),
            streams: vec![Stream {
                from: client(),
                to,
                per_second: 400,
                reuse: Reuse::None,
                payload: payload.to_vec(),
                timeout: 700,
            }],
            acts: Vec::new(),
        }
    }

    fn config(&self) -> ClusterConfig {
        let mut config = config(7, self.mode);
        let [same_node, same_zone, cross_zone] = self.latencies.map(Duration::from_micros);
        config.network = NetworkConfig {
            same_node,
            same_zone,
            cross_zone,
            hairpin: self.hairpin,
            ..NetworkConfig::default()
        };
        config.proxy.detect_local = self.detect.clone();
        config.load_balancer_pool = vec!["198.51.100.0/28".parse().unwrap()];
        // By the wrong node.
        let pods_of_b = "10.244.2.0/24".parse().unwrap();
        config.outside[0].routes = vec![(pods_of_b, "node-a".to_owned())];
        for node in &mut config.nodes {
            node.zone = Some("zone-1".to_owned()).filter(|_| same_zone <= same_node);
        }
        config
    }
}

/// A run, with all that anybody could have seen on its way.
struct Run {
    sim: Sim,
    fault: Option<FaultId>,
    going: Vec<bool>,
    seen: String,
}

impl Run {
    fn new(case: &Case, foresees: bool) -> Self {
        let mut sim = Sim::new(case.config()).unwrap();
        sim.set_foresight(foresees);
        for manifests in [CLIENT, SERVICE, MORE] {
            apply(&mut sim, manifests);
        }
        let backends = ["web-1", "web-2", "web-3"].into_iter();
        for (name, node) in backends.zip(["node-a", "node-b", "node-b"]) {
            apply(&mut sim, &backend(name, node));
        }
        run_to(&mut sim, 10_000);
        let mut run = Self {
            sim,
            fault: None,
            going: Vec::new(),
            seen: String::new(),
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
        let service = |name| api.service("default", name).unwrap();
        let address = |name| Host::Address(service(name).addresses().next().unwrap());
        let (host, port) = match stream.to {
            Goal::Service(name) => (address(name), 80),
            Goal::Named(name) => (Host::Name(name.to_owned()), 80),
            Goal::Balanced => (Host::Address(IpAddr::from([198, 51, 100, 1])), 80),
            Goal::Door(node) => (Host::Address(IpAddr::from([192, 168, 1, node])), 30080),
            Goal::Backend => (Host::Address(IpAddr::from([10, 244, 2, 3])), 8080),
        };
        TrafficRequest {
            id: number.to_string(),
            from: vec![Sender::One(stream.from.clone())],
            to: Target { host, port },
            protocol: Protocol::TCP,
            rate: format!("{}/s", stream.per_second).parse::<Rate>().unwrap(),
            span: None,
            reuse: stream.reuse,
            timeout: Duration::from_millis(stream.timeout),
            payload: stream.payload.clone(),
        }
    }

    fn pass(&mut self, micros: u64) {
        let at = self.sim.now() + Duration::from_micros(micros);
        self.sim.advance_to(at);
    }

    fn act(&mut self, act: &Act) {
        let sim = &mut self.sim;
        match act {
            Act::Delete(number) => {
                let key = ObjectKey::new(Kind::Pod, "default", &format!("web-{number}"));
                drop(sim.delete(&key));
            }
            Act::Create(number) => {
                let name = format!("web-{number}");
                let key = ObjectKey::new(Kind::Pod, "default", &name);
                if sim.get(&key).is_err() {
                    apply(sim, &backend(&name, ["node-a", "node-b"][number % 2]));
                }
            }
            Act::Fault(fault, span) => {
                if self.fault.is_none() {
                    let span = span.map(Duration::from_millis);
                    self.fault = sim.fault(fault.clone(), span).ok();
                }
            }
            Act::Heal => {
                if let Some(fault) = self.fault.take() {
                    sim.heal(fault);
                }
            }
            Act::Connect => {
                let request = ConnectRequest {
                    from: client(),
                    to: Target {
                        host: Host::Name("web".to_owned()),
                        port: 80,
                    },
                    protocol: Protocol::TCP,
                    count: 2,
                    timeout: Duration::from_secs(1),
                    payload: b"hello".to_vec(),
                };
                writeln!(self.seen, "{:?}", sim.connect(&request)).unwrap();
            }
            Act::Restart => drop(sim.restart_proxy("node-a").unwrap()),
            Act::Stop(number) => self.stop(*number),
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
            writeln!(self.seen, "{} tracked", state.len()).unwrap();
            for entry in state.entries(now) {
                writeln!(self.seen, "{}", entry.listing(now)).unwrap();
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
        writeln!(self.seen).unwrap();
    }

    /// What those see who begin to capture only now.
    fn capture(&mut self) {
        self.sim.enable_capture();
        self.act(&Act::Connect);
        self.pass(20_000);
        writeln!(self.seen, "{:?}", self.sim.captures()).unwrap();
    }
}

fn play(case: &Case, foresees: bool) -> (String, u64) {
    let mut run = Run::new(case, foresees);
    for (micros, act) in &case.acts {
        run.pass(*micros);
        run.look();
        run.act(act);
        run.look();
    }
    run.pass(900_000);
    run.look();
    run.capture();
    (0..run.going.len()).for_each(|number| run.stop(number));
    run.look();
    (run.seen, run.sim.foreseen())
}

/// Plays a case both ways; tells how many exchanges were foreseen.
fn check(case: &Case) -> Result<u64, String> {
    let (seen, foreseen) = play(case, true);
    let (sent, none) = play(case, false);
    let mut lines = seen.lines().zip(sent.lines());
    if let Some((seen, sent)) = lines.find(|(seen, sent)| seen != sent) {
        return Err(format!("foreseen: {seen}\nsent: {sent}"));
    }
    match seen.len() == sent.len() && none == 0 {
        true => Ok(foreseen),
        false => Err("one saw more".to_owned()),
    }
}

/// Whatever happens meanwhile, nobody can tell that packets were not sent.
#[test]
fn what_is_foreseen_is_what_happens() {
    const CASES: u32 = 12;
    let foreseen = Cell::new(0);
    // The same cases in every run, for what is asked of all of them at the end. More cases search further.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::with_cases(CASES), random);
    let played = runner.run(&cases(), |case| {
        let count = check(&case).map_err(TestCaseError::fail)?;
        foreseen.set(foreseen.get() + u64::from(count > 10));
        Ok(())
    });
    played.unwrap_or_else(|error| panic!("{error}"));
    assert!(foreseen.get() > 2, "of {CASES} cases");
}

#[test]
fn undisturbed_traffic_is_foreseen() {
    for mode in [ProxyMode::Iptables, ProxyMode::Nftables, ProxyMode::Flat] {
        for (to, len) in [
            (Goal::Service("web"), 5),
            (Goal::Service("six"), 0),
            (Goal::Door(2), 2000),
        ] {
            let foreseen = check(&Case::quiet(mode, to, &vec![b'x'; len])).unwrap();
            // All of 0.9 seconds but the first, and those that nobody knows to be over at the end.
            assert!(foreseen >= 355, "{mode} {to:?}: {foreseen}");
        }
    }
}

/// Who wants more than one answer is not taken for somebody who wants one.
#[test]
fn requests_that_begin_like_others_are_not_foreseen() {
    for payload in ["keep-alive\n", "keep-alive\nhello\n", "keep-alive\na\nb\n"] {
        let case = Case::quiet(ProxyMode::Flat, Goal::Service("web"), payload.as_bytes());
        assert_eq!(check(&case), Ok(0), "{payload:?}");
    }
}

/// Where a node takes no time to another, the way there may be longer than the way back and take no longer.
#[test]
fn a_way_that_answers_do_not_take_is_not_foreseen() {
    for mode in ProxyMode::ALL {
        let mut case = Case::quiet(mode, Goal::Backend, b"hello");
        case.latencies = [200, 100, 1000];
        case.streams[0].from = Source::Outside("laptop".to_owned());
        assert_eq!(check(&case), Ok(0), "{mode}");
    }
}
