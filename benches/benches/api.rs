//! The API server's verbs, in clusters of several sizes. The mix: [`switchboard_benches::objects`].

use std::hint::black_box;

use api::{ApiServer, Kind, Object, ObjectKey, Scope, Version, Watch, WatchFrom, WatchOptions};
use base::SimTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard_benches::objects::{objects, server};

const NOW: SimTime = SimTime::ZERO;
/// Pods and Services.
const SIZES: [(usize, usize); 3] = [(1_500, 100), (15_000, 1_000), (150_000, 10_000)];
/// The readers of a watch: one per node.
const WATCHES: u64 = 5_000;

fn filled(pods: usize, services: usize) -> ApiServer {
    let mut server = server();
    for object in objects(pods, services) {
        server.create(object, NOW).expect("all are valid");
    }
    server
}

fn create(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("api/create");
    for (pods, services) in &SIZES[..2] {
        let objects = objects(*pods, *services);
        group.throughput(Throughput::Elements(objects.len() as u64));
        group.sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(pods), |bencher| {
            bencher.iter_batched(
                || (server(), objects.clone()),
                |(mut server, objects)| {
                    for object in objects {
                        server.create(object, NOW).expect("all are valid");
                    }
                    server
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn one_object(criterion: &mut Criterion) {
    for (pods, services) in SIZES {
        let mut server = filled(pods, services);
        let key = ObjectKey::new(Kind::Pod, "default", "pod-7");
        let mut pod = server.get(&key).expect("it was created").clone();
        pod.meta_mut().resource_version.clear();
        let mut round = 0_u64;
        criterion.bench_function(&format!("api/replace/{pods}"), |bencher| {
            bencher.iter(|| {
                round += 1;
                replace(&mut server, &mut pod, round);
            });
        });
        let scope = Scope {
            labels: "app=web-7".parse().expect("a selector"),
            ..Scope::default()
        };
        criterion.bench_function(&format!("api/list 15 of {pods} by label"), |bencher| {
            bencher.iter(|| black_box(server.select(Kind::Pod, &scope, Version::Newest, NOW)));
        });
    }
}

/// Another label at every round, so that the index changes, too.
fn replace(server: &mut ApiServer, pod: &mut Object, round: u64) {
    let labels = &mut pod.meta_mut().labels;
    labels.insert("round".to_owned(), round.to_string());
    server.replace(pod.clone(), NOW).expect("it is valid");
}

fn watches(criterion: &mut Criterion) {
    let mut server = filled(1_500, 100);
    let mut pod = server
        .pod("default", "pod-7")
        .map(|pod| Object::Pod(pod.clone()));
    let pod = pod.as_mut().expect("it was created");
    pod.meta_mut().resource_version.clear();
    let open = |server: &ApiServer| -> Watch {
        let from = WatchFrom::After(server.revision());
        let options = WatchOptions {
            from,
            ..WatchOptions::default()
        };
        server
            .watch(Kind::Pod, options, NOW)
            .expect("it is visible")
    };
    let mut watches: Vec<_> = (0..WATCHES).map(|_| open(&server)).collect();
    let mut round = 0;
    let mut group = criterion.benchmark_group("api/watch");
    group.throughput(Throughput::Elements(WATCHES));
    group.bench_function("a change told to 5,000 readers", |bencher| {
        bencher.iter(|| {
            round += 1;
            replace(&mut server, pod, round);
            for watch in &mut watches {
                black_box(watch.next(&server, NOW).expect("it is visible"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, create, one_object, watches);
criterion_main!(benches);
