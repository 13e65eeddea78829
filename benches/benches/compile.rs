//! From API events to iptables rules, for the whole cluster and for one change.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rules::{Capabilities, Compiler};
use switchboard_benches::cluster::{events, node, view, without_an_endpoint};

const SERVICES: [usize; 2] = [100, 1_000];

fn compile(criterion: &mut Criterion) {
    let node = node();
    let mut group = criterion.benchmark_group("compile/iptables");
    for services in SERVICES {
        let events = events(services);
        let before = view(&events);
        let after = without_an_endpoint(&before, services / 2);
        group.throughput(Throughput::Elements(
            services.try_into().expect("a small number"),
        ));
        group.bench_function(BenchmarkId::new("from events", services), |bencher| {
            bencher.iter(|| {
                Compiler::new(Capabilities::ALL).iptables(&view(black_box(&events)), &node)
            });
        });
        group.bench_function(BenchmarkId::new("from view", services), |bencher| {
            bencher.iter(|| Compiler::new(Capabilities::ALL).iptables(black_box(&before), &node));
        });
        // Every iteration is one change: an endpoint goes, or comes back.
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one change", services), |bencher| {
            let mut compiler = Compiler::new(Capabilities::ALL);
            let _held = compiler.iptables(&before, &node);
            let mut views = [&after, &before].into_iter().cycle();
            bencher.iter(|| {
                let view = views.next().expect("a cycle does not end");
                compiler.iptables(black_box(view), &node)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, compile);
criterion_main!(benches);
