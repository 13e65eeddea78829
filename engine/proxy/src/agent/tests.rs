use rules::EndpointCounts;

use super::*;

/// What was committed; refuses while it is broken.
struct Log {
    committed: Vec<u64>,
    sizes: ClusterSizes,
    broken: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            committed: Vec::new(),
            sizes: ClusterSizes::SMALL,
            broken: false,
        }
    }
}

impl RuleSink for Log {
    type Error = ();

    fn commit(
        &mut self,
        _: SyncKind,
        _: &Arc<NodeFacts>,
        view: &ClusterView,
        sizes: ClusterSizes,
    ) -> Result<(), ()> {
        if self.broken {
            return Err(());
        }
        self.committed.push(view.revision);
        self.sizes = sizes;
        Ok(())
    }
}

fn agent() -> Agent {
    Agent::new(crate::basis::any_facts(), AgentSettings::default())
}

fn view(revision: u64) -> ClusterView {
    ClusterView {
        revision,
        ..ClusterView::default()
    }
}

fn at(millis: u64) -> SimTime {
    SimTime::from_nanos(millis * 1_000_000)
}

/// Every sync takes 50 ms.
fn run(agent: &mut Agent, now: SimTime, sink: &mut Log) -> Option<SyncKind> {
    report(agent, now, sink).map(|report| report.kind)
}

fn report(agent: &mut Agent, now: SimTime, sink: &mut Log) -> Option<SyncReport<()>> {
    let mut cost = |_: SyncKind, _: &ClusterView| Duration::from_millis(50);
    agent.run(now, &mut cost, sink)
}

/// An agent that has programmed view 1, from 0 to 50 ms.
fn synced(sink: &mut Log) -> Agent {
    let mut agent = agent();
    agent.deliver(view(1), true, at(0));
    run(&mut agent, at(0), sink);
    assert_eq!(run(&mut agent, at(50), sink), Some(SyncKind::Full));
    agent
}

#[test]
fn proxy_6_nothing_is_due_before_the_lists() {
    assert_eq!(agent().next_pending(at(0)), None);
    assert_eq!(agent().next_periodic(), None);
    let mut eager = agent();
    eager.demand_full_sync();
    assert_eq!(eager.next_pending(at(0)), None);
}

#[test]
fn rules_take_effect_when_the_sync_ends() {
    let (mut agent, mut sink) = (agent(), Log::default());
    agent.deliver(view(3), true, at(5));
    assert_eq!(agent.next_pending(at(5)), Some(at(5)));
    assert_eq!(run(&mut agent, at(5), &mut sink), None);
    assert_eq!(agent.next_pending(at(5)), Some(at(55)));
    assert_eq!(run(&mut agent, at(55), &mut sink), Some(SyncKind::Full));
    assert_eq!(sink.committed, [3]);
}

#[test]
fn proxy_65_changes_within_the_period_are_merged() {
    let (mut agent, mut sink) = (agent(), Log::default());
    agent.deliver(view(1), true, at(0));
    run(&mut agent, at(0), &mut sink);
    agent.deliver(view(2), true, at(10));
    run(&mut agent, at(50), &mut sink);
    agent.deliver(view(3), true, at(60));
    assert_eq!(
        agent.next_pending(at(60)),
        Some(at(1050)),
        "one second after the first sync ended"
    );
    run(&mut agent, at(1050), &mut sink);
    assert_eq!(
        run(&mut agent, at(1100), &mut sink),
        Some(SyncKind::Partial)
    );
    assert_eq!(sink.committed, [1, 3]);
    assert_eq!(agent.next_pending(at(1100)), None);
}

#[test]
fn a_sync_that_is_interrupted_is_done_again_and_in_full() {
    let mut sink = Log::default();
    let mut agent = synced(&mut sink);
    agent.interrupt();
    assert_eq!(
        agent.next_pending(at(60)),
        None,
        "there was nothing to interrupt"
    );
    agent.deliver(view(2), true, at(1100));
    run(&mut agent, at(1100), &mut sink);
    agent.interrupt();
    assert_eq!(
        agent.health().pending_since,
        Some(at(1100)),
        "it is pending as before"
    );
    assert_eq!(run(&mut agent, at(1150), &mut sink), None);
    assert_eq!(run(&mut agent, at(1200), &mut sink), Some(SyncKind::Full));
    assert_eq!(sink.committed, [1, 2]);
}

#[test]
fn an_adopted_view_is_programmed_and_the_next_sync_is_partial() {
    let (mut agent, mut sink) = (agent(), Log::default());
    agent.adopt(view(4), at(0), &mut sink).unwrap();
    assert_eq!(agent.next_pending(at(0)), None);
    assert_eq!(sink.committed, [4]);
    agent.deliver(view(5), true, at(5));
    run(&mut agent, at(5), &mut sink);
    assert_eq!(run(&mut agent, at(55), &mut sink), Some(SyncKind::Partial));
}

#[test]
fn a_view_without_a_change_is_no_reason_to_sync() {
    let mut agent = synced(&mut Log::default());
    agent.deliver(view(2), false, at(60));
    assert_eq!(agent.next_pending(at(60)), None);
}

#[test]
fn proxy_66_a_failed_sync_is_tried_again_in_full() {
    let mut sink = Log::default();
    let mut agent = synced(&mut sink);
    agent.deliver(view(2), true, at(2_000));
    run(&mut agent, at(2_000), &mut sink);
    sink.broken = true;
    let failed = report(&mut agent, at(2_050), &mut sink).unwrap();
    assert_eq!((failed.kind, failed.result), (SyncKind::Partial, Err(())));
    assert_eq!(agent.programmed().unwrap().view.revision, 1);
    assert_eq!(
        agent.next_pending(at(2_050)),
        Some(at(32_050)),
        "syncPeriod"
    );
    run(&mut agent, at(32_050), &mut sink);
    assert_eq!(run(&mut agent, at(32_100), &mut sink), Some(SyncKind::Full));
    sink.broken = false;
    // What else happens does not wait for the retry, and takes its place.
    agent.deliver(view(3), true, at(32_200));
    assert_eq!(agent.next_pending(at(32_200)), Some(at(33_100)));
    run(&mut agent, at(33_100), &mut sink);
    let done = report(&mut agent, at(33_150), &mut sink).unwrap();
    assert_eq!(done.kind, SyncKind::Full);
    assert_eq!(
        (done.before.view.revision, done.after.view.revision),
        (1, 3)
    );
    assert_eq!(agent.next_pending(at(33_150)), None);
}

#[test]
fn proxy_65_all_is_written_again_after_an_hour() {
    let mut sink = Log::default();
    let mut agent = synced(&mut sink);
    let hour = at(3_600_050);
    assert_eq!(agent.next_periodic(), Some(hour));
    run(&mut agent, hour, &mut sink);
    assert_eq!(agent.next_pending(hour), None, "the cluster is at rest");
    let end = agent.next_periodic().unwrap();
    let resync = report(&mut agent, end, &mut sink).unwrap();
    assert_eq!((resync.kind, resync.periodic), (SyncKind::Full, true));
    // A change that comes meanwhile is pending, though.
    run(&mut agent, at(7_200_100), &mut sink);
    agent.deliver(view(2), true, at(7_200_120));
    assert_eq!(agent.next_pending(at(7_200_120)), Some(at(7_200_150)));
}

#[test]
fn proxy_66_a_first_sync_that_failed_is_followed_by_one_full_sync() {
    let (mut agent, mut sink) = (agent(), Log::default());
    sink.broken = true;
    agent.deliver(view(1), true, at(0));
    run(&mut agent, at(0), &mut sink);
    assert_eq!(run(&mut agent, at(50), &mut sink), Some(SyncKind::Full));
    sink.broken = false;
    run(&mut agent, at(30_050), &mut sink);
    assert_eq!(run(&mut agent, at(30_100), &mut sink), Some(SyncKind::Full));
    agent.deliver(view(2), true, at(40_000));
    run(&mut agent, at(40_000), &mut sink);
    let next = run(&mut agent, at(40_050), &mut sink);
    assert_eq!(next, Some(SyncKind::Partial));
    assert_eq!(sink.committed, [1, 2]);
}

#[test]
fn proxy_65_nothing_is_due_within_the_minimum_period() {
    let mut sink = Log::default();
    let mut agent = agent();
    agent.settings.min_sync_period = Duration::from_secs(7_200);
    agent.deliver(view(1), true, at(0));
    run(&mut agent, at(0), &mut sink);
    sink.broken = true;
    run(&mut agent, at(50), &mut sink);
    let earliest = at(7_200_050);
    assert_eq!(agent.next_pending(at(50)), Some(earliest), "a retry waits");
    assert_eq!(agent.next_periodic(), Some(earliest), "a resync waits");
    sink.broken = false;
    run(&mut agent, earliest, &mut sink);
    run(&mut agent, at(7_200_100), &mut sink);
    let next = agent.next_periodic().unwrap();
    assert_eq!(next, at(14_400_100));
    run(&mut agent, next, &mut sink);
    let end = agent.next_periodic().unwrap();
    assert_eq!(end, at(14_400_150), "it has begun when it was due");
    assert!(report(&mut agent, end, &mut sink).unwrap().periodic);
}

#[test]
fn the_first_sync_after_an_hour_is_full_whatever_asks_for_it() {
    let mut sink = Log::default();
    let mut agent = synced(&mut sink);
    for (start, kind) in [
        (3_000_000, SyncKind::Partial),
        (4_000_000, SyncKind::Full),
        (5_000_000, SyncKind::Partial),
    ] {
        agent.deliver(view(start), true, at(start));
        run(&mut agent, at(start), &mut sink);
        assert_eq!(run(&mut agent, at(start + 50), &mut sink), Some(kind));
    }
}

#[test]
fn proxy_67_damage_is_repaired_soon() {
    let mut sink = Log::default();
    let mut agent = synced(&mut sink);
    agent.demand_full_sync();
    assert_eq!(agent.next_pending(at(60)), Some(at(1_050)));
    run(&mut agent, at(1_050), &mut sink);
    assert_eq!(run(&mut agent, at(1_100), &mut sink), Some(SyncKind::Full));
}

/// A view with so many endpoints.
fn sized(revision: u64, v4: usize) -> ClusterView {
    ClusterView {
        endpoints: EndpointCounts { v4, v6: 0 },
        ..view(revision)
    }
}

#[test]
fn proxy_45_large_clusters_are_spared() {
    for (endpoints, kind) in [(1000, SyncKind::Full), (1001, SyncKind::Partial)] {
        let mut agent = agent();
        agent.settings.spares_large_clusters = true;
        let mut sink = Log::default();
        agent.adopt(sized(1, endpoints), at(0), &mut sink).unwrap();
        run(&mut agent, at(3_600_000), &mut sink);
        assert_eq!(run(&mut agent, at(3_600_050), &mut sink), Some(kind));
    }
}

/// What a cluster counts as depends on what it was at the agent's syncs, and on no view between them.
#[test]
fn proxy_45_what_was_large_stays_so_for_a_while() {
    let mut agent = agent();
    let mut sink = Log::default();
    agent.adopt(sized(1, 1001), at(0), &mut sink).unwrap();
    let mut now = 0;
    let mut sync = |agent: &mut Agent, views: &[usize]| {
        for endpoints in views {
            agent.deliver(sized(2, *endpoints), true, at(now));
        }
        run(agent, at(now), &mut sink);
        run(agent, at(now + 50), &mut sink);
        now += 2_000;
        sink.sizes.any_large()
    };
    assert!(sync(&mut agent, &[1000]));
    assert!(sync(&mut agent, &[500, 900]), "the 500 were never synced");
    assert!(!sync(&mut agent, &[899]));
    assert!(!sync(&mut agent, &[1001, 1000]));
    // An agent that starts again knows nothing of what was.
    let mut started = self::agent();
    assert!(!sync(&mut started, &[1000]));
}

#[test]
fn proxy_71_what_is_pending_too_long_is_unhealthy() {
    let mut sink = Log::default();
    let mut agent = synced(&mut sink);
    assert!(agent.health().is_healthy(at(1_000_000)), "nothing to do");
    sink.broken = true;
    agent.deliver(view(2), true, at(2_000));
    run(&mut agent, at(2_000), &mut sink);
    assert!(agent.health().is_healthy(at(61_999)));
    assert!(!agent.health().is_healthy(at(62_000)), "it hangs");
    run(&mut agent, at(2_050), &mut sink);
    assert!(!agent.health().is_healthy(at(62_000)), "it failed");
    sink.broken = false;
    run(&mut agent, at(32_050), &mut sink);
    run(&mut agent, at(32_100), &mut sink);
    assert!(agent.health().is_healthy(at(62_000)));
    assert_eq!(agent.health().updated_at, Some(at(32_100)));
}

#[test]
fn proxy_71_a_change_of_the_node_is_pending() {
    let mut sink = Log::default();
    let mut agent = synced(&mut sink);
    let facts = Arc::clone(agent.facts());
    agent.relearn(Arc::clone(&facts), at(2_000));
    assert_eq!(agent.health().pending_since, Some(at(2_000)));
    agent.relearn(facts, at(3_000));
    assert!(!agent.health().is_healthy(at(62_000)), "since the first");
    run(&mut agent, at(62_000), &mut sink);
    assert_eq!(run(&mut agent, at(62_050), &mut sink), Some(SyncKind::Full));
    assert_eq!(agent.health().pending_since, None);
}

#[test]
fn on_a_real_clock_a_sync_takes_as_long_as_its_commit() {
    let (mut agent, mut sink) = (agent(), Log::default());
    let mut now = 0;
    let mut clock = || {
        now += 1_000;
        at(now)
    };
    agent.deliver(view(1), true, at(0));
    let report = agent.run_now(&mut clock, &mut sink).unwrap();
    assert_eq!((report.started, report.ended), (at(1_000), at(2_000)));
    assert!(agent.run_now(&mut clock, &mut sink).is_none());
    agent.deliver(view(2), true, at(2_500));
    assert_eq!(agent.next_pending(at(2_500)), Some(at(3_000)));
}
