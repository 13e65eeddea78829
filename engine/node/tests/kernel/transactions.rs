//! One cluster after the other, each made out of the one before by a transaction: the kernel takes it as one unit, and
//! has then what a full compile gives.

use std::cell::RefCell;

use conformance::{Cluster, clusters};
use netfilter::Ruleset;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use ruleset::nft::{NftTables, NftTransaction};

use crate::backend::{Backend, check_nftables};
use crate::clusters::{cluster_view, facts};
use crate::lab::on;
use crate::site::run;

/// Histories, and how long the longest is.
const HISTORIES: u32 = 8;
const LENGTH: usize = 8;

#[test]
fn a_history_of_transactions() {
    on(
        &[Backend::Nftables],
        "transactions::a_history_of_transactions",
        |lab| {
            let config = Config {
                cases: HISTORIES,
                max_shrink_iters: 50,
                failure_persistence: None,
                ..Config::default()
            };
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            let backend = lab.backend;
            let present = RefCell::new(NftTables::new());
            let histories = vec(clusters(), 1..=LENGTH);
            let judged = TestRunner::new_with_rng(config, rng).run(&histories, |history| {
                let mut present = present.borrow_mut();
                for cluster in &history {
                    let wanted = tables(backend, cluster);
                    follow(&present, &wanted);
                    *present = wanted;
                }
                Ok(())
            });
            judged.unwrap_or_else(|failure| panic!("{failure}"));
        },
    );
}

fn tables(backend: Backend, cluster: &Cluster) -> NftTables {
    let node = &cluster.nodes[0];
    let compiled = backend.compile(&cluster_view(cluster), &facts(node, cluster, backend));
    match compiled.into_iter().next() {
        Some(Ruleset::Nft(tables)) => (*tables).clone(),
        _ => panic!("{backend:?} compiles to tables of nftables"),
    }
}

fn follow(present: &NftTables, wanted: &NftTables) {
    let transaction = NftTransaction::between(present, wanted);
    let applied = present
        .apply(&transaction)
        .expect("what is between two tables applies");
    assert!(
        applied.canonical() == wanted.canonical(),
        "{}",
        transaction.script()
    );
    run("nft", &["-f", "-"], &transaction.script());
    check_nftables(wanted);
}
