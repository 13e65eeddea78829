//! The EndpointSlice controller, in clusters of several sizes. The mix: [`switchboard_benches::objects`], on nodes that
//! exist, without the slices, which the controller writes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use api::{ApiServer, Kind, Node, Object, ObjectKey, ObjectMeta, Pod, WatchEvent};
use base::{Seed, SimTime};
use controllers::{Controller, Effect, EndpointSliceController};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard_benches::objects::{NODES, objects, server};

const NOW: SimTime = SimTime::ZERO;
/// Pods and Services.
const SIZES: [(usize, usize); 3] = [(1_500, 100), (15_000, 1_000), (150_000, 10_000)];

fn filled(pods: usize, services: usize) -> ApiServer {
    let mut server = server();
    for index in 0..NODES {
        let node = Node {
            metadata: ObjectMeta {
                name: format!("node-{index}"),
                ..ObjectMeta::default()
            },
            ..Node::default()
        };
        server.create(node.into(), NOW).expect("all are valid");
    }
    let objects = objects(pods, services).into_iter();
    for object in objects.filter(|object| object.kind() != Kind::EndpointSlice) {
        server.create(object, NOW).expect("all are valid");
    }
    server
}

/// A new controller that has seen `events`, and what it writes.
fn reconciled(events: &[WatchEvent]) -> (EndpointSliceController, Vec<Effect>) {
    let mut controller = EndpointSliceController::new(Duration::ZERO, Seed::new(7));
    for event in events {
        controller.observe(event, NOW);
    }
    let effects = controller.reconcile(NOW);
    (controller, effects)
}

fn from_nothing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("controllers/slices from nothing");
    group.sample_size(10);
    for (pods, services) in SIZES {
        let server = filled(pods, services);
        let events = server.events_after(0);
        let (_, effects) = reconciled(events);
        assert_eq!(effects.len(), services, "a slice for each Service");
        group.throughput(Throughput::Elements(pods as u64));
        group.bench_function(BenchmarkId::from_parameter(pods), |bencher| {
            bencher.iter(|| black_box(reconciled(events)));
        });
    }
    group.finish();
}

/// What is written is seen at once.
struct Cluster {
    server: ApiServer,
    controller: EndpointSliceController,
    seen: usize,
}

impl Cluster {
    fn new(pods: usize, services: usize) -> Self {
        let server = filled(pods, services);
        let (controller, effects) = reconciled(server.events_after(0));
        let seen = server.events_after(0).len();
        let mut cluster = Self {
            server,
            controller,
            seen,
        };
        cluster.write(effects);
        cluster
    }

    fn write(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let written = match effect {
                Effect::Create(object) => self.server.create(object, NOW),
                Effect::Update(object) => self.server.replace(object, NOW),
                other => unreachable!("slices are created and updated here: {other:?}"),
            };
            written.expect("it is valid");
        }
        self.look();
    }

    fn look(&mut self) {
        let events = &self.server.events_after(0)[self.seen..];
        for event in events {
            self.controller.observe(event, NOW);
        }
        self.seen += events.len();
    }

    /// From a Pod's event to the write that follows from it.
    #[expect(
        clippy::disallowed_methods,
        reason = "what comes before and after it is not of the measurement"
    )]
    fn turn(&mut self, pod: &Object) -> Duration {
        self.server
            .update_status(pod.clone(), NOW)
            .expect("it is valid");
        let begun = Instant::now();
        self.look();
        let effects = self.controller.reconcile(NOW);
        let took = begun.elapsed();
        assert_eq!(effects.len(), 1, "one slice changes");
        self.write(effects);
        took
    }
}

fn one_pod(criterion: &mut Criterion) {
    for (pods, services) in SIZES {
        let mut cluster = Cluster::new(pods, services);
        let key = ObjectKey::new(Kind::Pod, "default", "pod-7");
        let stored = cluster.server.get(&key).expect("it was created").clone();
        let states = ["False", "True"].map(|status| {
            let mut pod = Pod::clone(stored.as_pod().expect("a Pod"));
            pod.metadata.resource_version.clear();
            pod.status.conditions[0].status = status.to_owned();
            Object::from(pod)
        });
        let mut turns = states.iter().cycle();
        criterion.bench_function(&format!("controllers/one Pod of {pods}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let states = turns.by_ref();
                let took = (0..rounds).map(|_| {
                    let state = states.next().expect("they go round");
                    cluster.turn(state)
                });
                took.sum()
            });
        });
    }
}

criterion_group!(benches, from_nothing, one_pod);
criterion_main!(benches);
