//! From objects to rules in each layout, for the whole cluster and for one change; and from rules to text.
//!
//! The mix: Services of one TCP port with a ClusterIP only, five ready endpoints each, a fifth of them on the node.

use std::cell::LazyCell;
use std::hint::black_box;

use api::WatchEvent;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use rules::{
    Capabilities, ClusterSizes, ClusterView, CompiledIptables, CompiledNftables, Compiler,
    NodeFacts,
};
use ruleset::nft::NftTransaction;
use ruleset::xt::{XtTransaction, restore_text};
use switchboard_benches::cluster::{events, node, view, without_an_endpoint};

/// The bar stands at the middle one: 0.25 s for both families (design, section 8).
const SERVICES: [usize; 3] = [1_000, 10_000, 30_000];

/// Made when a measurement asks for it, because that takes longer than most of them.
struct Cluster {
    services: usize,
    watched: LazyCell<Watched, Box<dyn FnOnce() -> Watched>>,
}

/// What a watch tells, and the view that a proxy has of it.
struct Watched {
    events: Vec<WatchEvent>,
    view: ClusterView,
}

/// How rules of one layout are made for a node, from earlier ones if there are any, and what it takes from some to others.
#[derive(Clone, Copy)]
struct Layout<R, T> {
    compile: fn(&mut Compiler, Option<&R>, &ClusterView, &NodeFacts) -> R,
    between: fn(&R, &R) -> T,
}

const IPTABLES: Layout<CompiledIptables, Vec<XtTransaction>> = Layout {
    compile: |compiler, earlier, view, facts| {
        compiler.iptables_after(earlier, view, facts, ClusterSizes::of(view))
    },
    between: |before, after| {
        let families = before.tables.values().zip(after.tables.values());
        families
            .map(|(before, after)| XtTransaction::between(before, after))
            .collect()
    },
};

const NFTABLES: Layout<CompiledNftables, NftTransaction> = Layout {
    compile: Compiler::nftables_after,
    between: |before, after| NftTransaction::between(&before.tables, &after.tables),
};

const FLAT: Layout<CompiledNftables, NftTransaction> = Layout {
    compile: Compiler::flat_after,
    ..NFTABLES
};

fn compile(criterion: &mut Criterion) {
    let clusters = SERVICES.map(|services| Cluster {
        services,
        watched: LazyCell::new(Box::new(move || {
            let events = events(services);
            let view = view(&events);
            Watched { events, view }
        })),
    });
    let mut group = criterion.benchmark_group("compile/iptables");
    group.sample_size(10);
    layout(&mut group, &clusters, IPTABLES);
    group.finish();
    let mut group = criterion.benchmark_group("print/iptables");
    group.sample_size(10);
    print_iptables(&mut group, &clusters[1]);
    group.finish();
    let mut group = criterion.benchmark_group("compile/nftables");
    group.sample_size(10);
    layout(&mut group, &clusters, NFTABLES);
    group.finish();
    let mut group = criterion.benchmark_group("compile/flat");
    group.sample_size(10);
    layout(&mut group, &clusters, FLAT);
    group.finish();
}

fn layout<R, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    clusters: &[Cluster],
    Layout { compile, between }: Layout<R, T>,
) {
    let node = node();
    for Cluster { services, watched } in clusters {
        let elements = u64::try_from(*services).expect("a small number");
        group.throughput(Throughput::Elements(elements));
        group.bench_function(BenchmarkId::new("from objects", services), |bencher| {
            bencher.iter_with_large_drop(|| {
                let view = view(black_box(&watched.events));
                let mut compiler = Compiler::new(Capabilities::ALL);
                let compiled = compile(&mut compiler, None, &view, &node);
                (compiler, compiled, view)
            });
        });
        group.bench_function(BenchmarkId::new("from view", services), |bencher| {
            bencher.iter_with_large_drop(|| {
                let mut compiler = Compiler::new(Capabilities::ALL);
                let compiled = compile(&mut compiler, None, black_box(&watched.view), &node);
                (compiler, compiled)
            });
        });
        // Every iteration is one change: an endpoint goes, or comes back.
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one change", services), |bencher| {
            let before = &watched.view;
            let after = without_an_endpoint(before, services / 2);
            let mut compiler = Compiler::new(Capabilities::ALL);
            let mut present = compile(&mut compiler, None, before, &node);
            let mut views = [&after, before].into_iter().cycle();
            bencher.iter(|| {
                let view = views.next().expect("a cycle does not end");
                let next = compile(&mut compiler, Some(&present), black_box(view), &node);
                let transaction = between(&present, &next);
                present = next;
                transaction
            });
        });
    }
}

/// The text of both families, as `iptables-restore` and `ip6tables-restore` take it.
fn print_iptables(
    group: &mut BenchmarkGroup<'_, WallTime>,
    Cluster { services, watched }: &Cluster,
) {
    group.bench_function(BenchmarkId::new("restore", services), |bencher| {
        let compiled = Compiler::new(Capabilities::ALL).iptables(&watched.view, &node());
        let tables = black_box(&compiled.tables);
        bencher.iter_with_large_drop(|| -> Vec<String> {
            tables.values().map(|tables| restore_text(tables)).collect()
        });
    });
}

criterion_group!(benches, compile);
criterion_main!(benches);
