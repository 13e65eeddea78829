//! A large cluster's objects in the API server: what creating them costs, and what they take in memory.
//!
//! `cargo run --release -p switchboard-benches --example objects -- [PODS] [SERVICES]`. Then updates of one object,
//! lists by label, and watches.

use api::{Kind, Pod, Scope, Version, WatchFrom, WatchOptions, WatchOutput};
use base::SimTime;
use rustix::time::{ClockId, clock_gettime};
use switchboard_benches::objects::{objects, server};

const NOW: SimTime = SimTime::ZERO;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| {
        let given = arguments.next().map(|text| text.parse());
        given.map_or(default, |number| number.expect("a number"))
    };
    let (pods, services) = (number(150_000), number(10_000));
    let objects = timed("objects made", || objects(pods, services));
    let mut server = server();
    let count = objects.len();
    timed("created", || {
        for object in objects {
            server.create(object, NOW).expect("all are valid");
        }
    });
    println!("{count} objects, {} MB in all", resident() / 1_000_000);
    let pod = server.pod("default", "pod-0").expect("it was created");
    let mut pod = Pod::clone(pod);
    pod.metadata.resource_version.clear();
    timed("1,000 updates of one Pod", || {
        for round in 0..1_000 {
            let labels = &mut pod.metadata.labels;
            labels.insert("round".to_owned(), round.to_string());
            server.replace(pod.clone().into(), NOW).expect("valid");
        }
    });
    let scope = Scope {
        labels: "app=web-1".parse().expect("a selector"),
        ..Scope::default()
    };
    timed("1,000 lists by label", || {
        for _ in 0..1_000 {
            let list = server.select(Kind::Pod, &scope, Version::Newest, NOW);
            assert_eq!(list.expect("valid").items.len(), pods / services);
        }
    });
    let mut watches: Vec<_> = (0..5_000)
        .map(|_| {
            let from = WatchFrom::After(server.revision());
            let options = WatchOptions {
                from,
                ..WatchOptions::default()
            };
            server.watch(Kind::Pod, options, NOW).expect("visible")
        })
        .collect();
    let labels = &mut pod.metadata.labels;
    labels.insert("round".to_owned(), "last".to_owned());
    server.replace(pod.into(), NOW).expect("valid");
    timed("a change told to 5,000 watches", || {
        for watch in &mut watches {
            let told = watch.next(&server, NOW).expect("visible");
            assert!(matches!(told, Some(WatchOutput::Modified(_))));
        }
    });
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = seconds();
    let result = work();
    println!("{what}: {:.3} s", seconds() - before);
    result
}

/// Of processor time that this process has spent.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Bytes of memory that this process has in use.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = pages.split(' ').nth(1).expect("statm has seven numbers");
    pages.parse::<usize>().expect("a number") * 4_096
}
