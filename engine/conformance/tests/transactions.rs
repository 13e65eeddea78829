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
    check_moments(Layout::Iptables, 48, |outcome| outcome);
}

/// PROXY-57, PROXY-59: a virtual server and the entry that says whose source is hidden are told one after the other, so
/// for a moment the one may be of a policy and the other of another. Where packets go is never of neither, but that one to
/// an address of the node's own, which was refused or is going to be, may be left to the node itself in between: the set
/// that lets it in knows of the port before the server is there.
#[test]
fn every_moment_of_ipvs_is_one_that_packets_may_meet() {
    check_moments(Layout::Ipvs, 6, |outcome| match outcome {
        Outcome::Endpoint { address, .. } => Outcome::Endpoint {
            address,
            source_nat: false,
        },
        other => other,
    });
}

/// `seen` leaves out of an outcome what may be of neither side.
fn check_moments(layout: Layout, cases: u32, seen: impl Fn(Outcome) -> Outcome) {
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
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
        let mut ends = [&before, &after].map(|cluster| settled(layout, cluster));
        let between = ends[0].moments_before(&ends[1]);
        let asked = packets(&before).into_iter().chain(packets(&after));
        let outcomes = |plane: &mut LayoutPlane, packet: &FirstPacket| -> BTreeSet<Outcome> {
            let outcomes = plane.probe(packet).into_iter();
            outcomes.map(|(_, outcome)| seen(outcome)).collect()
        };
        let asked: Vec<_> = asked
            .map(|packet| {
                let [old, new] = ends.each_mut().map(|end| outcomes(end, &packet));
                (packet, old, new)
            })
            .collect();
        for (number, mut moment) in (1..).zip(between) {
            moments += 1;
            for (packet, old, new) in &asked {
                let now = outcomes(&mut moment, packet);
                let is_fine = |outcome: &Outcome| {
                    let refused = match outcome {
                        Outcome::Reject | Outcome::Drop => true,
                        Outcome::Untouched if layout == Layout::Ipvs => {
                            [old, new].iter().any(|end| end.contains(&Outcome::Reject))
                        }
                        _ => false,
                    };
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

fn settled(layout: Layout, cluster: &Cluster) -> LayoutPlane {
    let mut plane = LayoutPlane::new(layout);
    plane.apply(cluster);
    plane.settle();
    plane
}
