//! Giving out one address and one node port, and taking them back, as the stock fills up.
//!
//! The mix: a /16 of IPv4 and the default range of node ports, filled at random to 1 %, 50 % and 99.9 %.

use api::{ClusterIps, IpFamily, NodePorts};
use base::{Rng, Seed};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

/// In thousandths.
const FULL: [u32; 3] = [10, 500, 999];
const ADDRESSES: u32 = 65_534;
const PORTS: u32 = 2_768;

fn addresses(full: u32, rng: &mut Rng) -> ClusterIps {
    let mut ips = ClusterIps::new(&[IpFamily::V4]);
    let range = "10.96.0.0/16".parse().expect("it is a range");
    ips.offer("kubernetes", [range].into_iter(), true);
    for _ in 0..ADDRESSES * full / 1_000 {
        ips.allocate(IpFamily::V4, rng).expect("it is not full");
    }
    ips
}

fn ports(full: u32, rng: &mut Rng) -> NodePorts {
    let mut ports = NodePorts::new(30_000..=32_767);
    for _ in 0..PORTS * full / 1_000 {
        ports.allocate(rng).expect("it is not full");
    }
    ports
}

fn allocation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("allocation");
    for full in FULL {
        let mut rng = Seed::new(7).split("bench/allocation");
        let name = format!("{}.{} %", full / 10, full % 10);
        let mut ips = addresses(full, &mut rng);
        group.bench_function(BenchmarkId::new("address", &name), |bencher| {
            bencher.iter(|| {
                let given = ips
                    .allocate(IpFamily::V4, &mut rng)
                    .expect("it is not full");
                ips.release(given);
                given
            });
        });
        // As a request does: on a copy, which replaces the stock.
        group.bench_function(BenchmarkId::new("address, on a copy", &name), |bencher| {
            bencher.iter_batched_ref(
                || ips.clone(),
                |copy| copy.allocate(IpFamily::V4, &mut rng),
                BatchSize::SmallInput,
            );
        });
        let mut ports = ports(full, &mut rng);
        group.bench_function(BenchmarkId::new("node port", &name), |bencher| {
            bencher.iter(|| {
                let given = ports.allocate(&mut rng).expect("it is not full");
                ports.release(given);
                given
            });
        });
    }
    group.finish();
}

criterion_group!(benches, allocation);
criterion_main!(benches);
