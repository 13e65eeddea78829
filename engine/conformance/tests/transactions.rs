//! While a node's rules become others, unit by unit, packets meet the old rules, the new ones, or a refusal; no packet for
//! a Service is let go untranslated.

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};
use support::{Layout, LayoutPlane};
use switchboard_conformance::{Cluster, DataPlane, FirstPacket, Outcome, clusters, packets};

#[test]
fn every_moment_is_one_that_packets_may_meet() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 48,
        rng_seed: RngSeed::Fixed(0x5b),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let pairs = (clusters(), clusters()).prop_map(|(before, after)| {
        // The same nodes, with other objects.
        let after = Cluster {
            objects: after.objects,
            ..before.clone()
        };
        (before, after)
    });
    let judged = runner.run(&pairs, |(before, after)| {
        let mut moments = 0;
        let mut ends = [&before, &after].map(settled);
        let between = ends[0].moments_before(&ends[1]);
        let asked = packets(&before).into_iter().chain(packets(&after));
        let asked: Vec<FirstPacket> = asked.collect();
        for (number, mut moment) in (1..).zip(between) {
            moments += 1;
            for packet in &asked {
                let [old, new] = ends.each_mut().map(|end| outcomes(end, packet));
                let now = outcomes(&mut moment, packet);
                let is_fine = |outcome: &Outcome| {
                    let refused = matches!(outcome, Outcome::Reject | Outcome::Drop);
                    refused || old.contains(outcome) || new.contains(outcome)
                };
                prop_assert!(
                    now.iter().all(is_fine),
                    "after {number} units: {packet:?} {now:?}, before {old:?}, afterwards {new:?}"
                );
            }
        }
        if moments == 0 && before.objects != after.objects {
            return Err(TestCaseError::reject("nothing is between them"));
        }
        Ok(())
    });
    judged.unwrap_or_else(|failure| panic!("{failure}"));
}

fn settled(cluster: &Cluster) -> LayoutPlane {
    let mut plane = LayoutPlane::new(Layout::Iptables);
    plane.apply(cluster);
    plane.settle();
    plane
}

fn outcomes(plane: &mut LayoutPlane, packet: &FirstPacket) -> BTreeSet<Outcome> {
    let outcomes = plane.probe(packet).into_iter();
    outcomes.map(|(_, outcome)| outcome).collect()
}
