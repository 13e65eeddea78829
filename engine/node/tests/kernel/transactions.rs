//! One cluster after the other, each made out of the one before by a transaction: the kernel takes every unit of it, and
//! has then what a full compile gives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use conformance::{Cluster, clusters};
use netfilter::Ruleset;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use ruleset::Family;
use ruleset::nft::{NftTables, NftTransaction};
use ruleset::xt::{XtTables, XtTransaction};
use switchboard_node::IptablesTools;

use crate::backend::{Backend, check_nftables, read_back, telling};
use crate::clusters::{cluster_view, facts};
use crate::lab::{Lab, on_every_backend};
use crate::site::run;

/// Histories, and how long the longest is.
const HISTORIES: u32 = 8;
const LENGTH: usize = 8;

#[test]
fn a_history_of_transactions() {
    on_every_backend("transactions::a_history_of_transactions", |lab| {
        let config = Config {
            cases: HISTORIES,
            max_shrink_iters: 50,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let present = RefCell::new(Present::of(lab));
        let histories = vec(clusters(), 1..=LENGTH);
        let judged = TestRunner::new_with_rng(config, rng).run(&histories, |history| {
            for cluster in &history {
                present.borrow_mut().follow(cluster);
            }
            Ok(())
        });
        judged.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

/// What the kernel has of ours.
enum Present {
    Iptables(Backend, IptablesTools, BTreeMap<Family, Arc<XtTables>>),
    Nftables(Backend, Arc<NftTables>),
}

impl Present {
    fn of(lab: &Lab) -> Self {
        match lab.backend {
            Backend::Iptables(variant) => {
                let nothing = |family| (family, Arc::new(XtTables::new(family)));
                let tables = Family::ALL.map(nothing).into();
                Self::Iptables(lab.backend, IptablesTools::new(variant), tables)
            }
            Backend::Nftables | Backend::Flat => Self::Nftables(lab.backend, Arc::default()),
        }
    }

    fn follow(&mut self, cluster: &Cluster) {
        let (Self::Iptables(backend, ..) | Self::Nftables(backend, _)) = self;
        let node = &cluster.nodes[0];
        let facts = facts(node, cluster, *backend);
        for wanted in backend.compile(&cluster_view(cluster), &facts) {
            match (&mut *self, wanted) {
                (Self::Iptables(_, tools, present), Ruleset::Xt(wanted)) => {
                    let before = present.insert(wanted.family, Arc::clone(&wanted));
                    let before = before.expect("there are tables of both families");
                    follow_iptables(tools, &before, &wanted);
                }
                (Self::Nftables(_, present), Ruleset::Nft(wanted)) => {
                    follow_nftables(present, &wanted);
                    *present = wanted;
                }
                _ => panic!("a backend compiles to its own dialect"),
            }
        }
    }
}

fn follow_iptables(tools: &IptablesTools, present: &XtTables, wanted: &XtTables) {
    let family = wanted.family;
    let transaction = XtTransaction::between(present, wanted);
    let mut expected = present.clone();
    for unit in &transaction.units {
        let text = unit.restore_text(family);
        expected = expected
            .apply(unit)
            .expect("what is between two tables applies");
        let restored = tools.restore(family, &text);
        restored.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let there = read_back(tools, family, expected.tables.keys().copied());
        assert_eq!(telling(&there), telling(&expected), "after {text}");
    }
    assert_eq!(telling(&expected), telling(wanted));
}

fn follow_nftables(present: &NftTables, wanted: &NftTables) {
    let transaction = NftTransaction::between(present, wanted);
    let script = transaction.script();
    let applied = present.apply(&transaction);
    let applied = applied.expect("what is between two tables applies");
    assert!(applied.canonical() == wanted.canonical(), "{script}");
    run("nft", &["-f", "-"], &script);
    check_nftables(wanted);
}
