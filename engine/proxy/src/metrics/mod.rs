//! What a proxy counts, under kube-proxy's names.
//!
//! **What.** [`Metrics`] is told what happens and gives the text that Prometheus reads. **Why.** Dashboards and alerts
//! that are written for kube-proxy work with this one as well. A metric that would say nothing true here is left out.
//! **Source of the semantics.** PROXY-76; kube-proxy 1.36 `pkg/proxy/metrics/metrics.go`; the Prometheus text format 0.0.4.
//!
//! Deviation: kube-proxy labels what is about syncs with `ip_family`. One sync does both families here, so there is no such
//! label.

mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use api::EPOCH_UNIX_SECONDS;
use base::SimTime;
use ruleset::xt::TableName;

use crate::{SyncKind, SyncReport};
use text::{Histogram, Text};

/// What rules are written in: failures are counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// By `iptables-restore`.
    Iptables,
    /// By `nft`.
    Nftables,
    /// By `ipvsadm`, `ipset` and `iptables-restore`.
    Ipvs,
}

/// All that is counted since the proxy started.
#[derive(Clone, Debug)]
pub struct Metrics {
    dialect: Dialect,
    syncs: Histogram,
    full_syncs: Histogram,
    partial_syncs: Histogram,
    failures: u64,
    partial_failures: u64,
    synced_at: Option<SimTime>,
    queued_at: Option<SimTime>,
    services: Changes,
    endpoints: Changes,
    programming: Histogram,
    /// Rules owned, and rules written by the last sync.
    iptables_rules: BTreeMap<TableName, (usize, usize)>,
    stale_entries: u64,
    reconciliations: Histogram,
    healthz: BTreeMap<u16, u64>,
    livez: BTreeMap<u16, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    pending: u64,
    total: u64,
}

impl Changes {
    const fn add(&mut self) {
        self.pending += 1;
        self.total += 1;
    }
}

/// What has changed in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOf {
    /// A Service.
    Service,
    /// An EndpointSlice.
    Endpoints,
}

impl Metrics {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        let latency = Histogram::exponential(0.001, 15);
        Self {
            dialect,
            syncs: latency.clone(),
            full_syncs: latency.clone(),
            partial_syncs: latency.clone(),
            failures: 0,
            partial_failures: 0,
            synced_at: None,
            queued_at: None,
            services: Changes::default(),
            endpoints: Changes::default(),
            programming: Histogram::network_programming(),
            iptables_rules: BTreeMap::new(),
            stale_entries: 0,
            reconciliations: latency,
            healthz: BTreeMap::new(),
            livez: BTreeMap::new(),
        }
    }

    /// The watch has told of a change that matters to rules, which asks for a sync.
    pub const fn changed(&mut self, what: ChangeOf, now: SimTime) {
        self.queued_at = Some(now);
        match what {
            ChangeOf::Service => self.services.add(),
            ChangeOf::Endpoints => self.endpoints.add(),
        }
    }

    /// A sync has ended.
    pub fn synced<E>(&mut self, report: &SyncReport<E>) {
        let took = report.ended.since(report.started);
        self.syncs.observe(took);
        match report.kind {
            SyncKind::Full => self.full_syncs.observe(took),
            SyncKind::Partial => self.partial_syncs.observe(took),
        }
        if report.result.is_ok() {
            self.synced_at = Some(report.ended);
            self.services.pending = 0;
            self.endpoints.pending = 0;
        } else {
            self.failures += 1;
            self.partial_failures += u64::from(report.kind == SyncKind::Partial);
        }
    }

    /// How long it took from a change in the cluster, which a slice's annotation tells, to its rules.
    pub fn programmed_within(&mut self, delay: Duration) {
        self.programming.observe(delay);
    }

    /// How many rules a table has that are the proxy's, and how many of these the last sync wrote; both families.
    pub fn count_iptables_rules(&mut self, table: TableName, owned: usize, written: usize) {
        self.iptables_rules.insert(table, (owned, written));
    }

    /// Stale UDP connections were looked for, and so many deleted (PROXY-73).
    pub fn reconciled_conntrack(&mut self, took: Duration, deleted: usize) {
        self.reconciliations.observe(took);
        self.stale_entries += u64::try_from(deleted).unwrap_or(u64::MAX);
    }

    /// `/healthz` was answered.
    pub fn answered_healthz(&mut self, status: u16) {
        *self.healthz.entry(status).or_default() += 1;
    }

    /// `/livez` was answered.
    pub fn answered_livez(&mut self, status: u16) {
        *self.livez.entry(status).or_default() += 1;
    }

    /// The text for Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Text::default();
        self.write_syncs(&mut text);
        self.write_failures(&mut text);
        self.write_changes(&mut text);
        text.histogram(
            "network_programming_duration_seconds",
            "In Cluster Network Programming Latency in seconds",
            &self.programming,
        );
        text.counter(
            "conntrack_reconciler_deleted_entries_total",
            "Cumulative conntrack flows deleted by conntrack reconciler",
            self.stale_entries,
        );
        text.histogram(
            "conntrack_reconciler_sync_duration_seconds",
            "ReconcileConntrackFlowsLatency latency in seconds",
            &self.reconciliations,
        );
        text.counters_by_code(
            "proxy_healthz_total",
            "Cumulative proxy healthz HTTP status",
            &self.healthz,
        );
        text.counters_by_code(
            "proxy_livez_total",
            "Cumulative proxy livez HTTP status",
            &self.livez,
        );
        text.into_string()
    }

    fn write_syncs(&self, text: &mut Text) {
        for (name, help, latency) in [
            ("sync", "SyncProxyRules latency in seconds", &self.syncs),
            (
                "sync_full",
                "SyncProxyRules latency in seconds for full resyncs",
                &self.full_syncs,
            ),
            (
                "sync_partial",
                "SyncProxyRules latency in seconds for partial resyncs",
                &self.partial_syncs,
            ),
        ] {
            text.histogram(
                &format!("{name}_proxy_rules_duration_seconds"),
                help,
                latency,
            );
        }
        for (name, help, at) in [
            (
                "sync_proxy_rules_last_timestamp_seconds",
                "The last time proxy rules were successfully synced",
                self.synced_at,
            ),
            (
                "sync_proxy_rules_last_queued_timestamp_seconds",
                "The last time a sync of proxy rules was queued",
                self.queued_at,
            ),
        ] {
            text.gauge(name, help, &at.map_or("0".to_owned(), unix_seconds));
        }
        if self.dialect == Dialect::Iptables {
            let rules = self.iptables_rules.iter();
            let owned = rules.clone().map(|(table, (owned, _))| (*table, *owned));
            text.gauges_by_table(
                "sync_proxy_rules_iptables_total",
                "Total number of iptables rules owned by kube-proxy",
                owned,
            );
            let written = rules.map(|(table, (_, written))| (*table, *written));
            text.gauges_by_table(
                "sync_proxy_rules_iptables_last",
                "Number of iptables rules written by kube-proxy in last sync",
                written,
            );
        }
    }

    fn write_failures(&self, text: &mut Text) {
        if self.dialect == Dialect::Nftables {
            text.counter(
                "sync_proxy_rules_nftables_sync_failures_total",
                "Cumulative proxy nftables sync failures",
                self.failures,
            );
            return;
        }
        text.counter(
            "sync_proxy_rules_iptables_restore_failures_total",
            "Cumulative proxy iptables restore failures",
            self.failures,
        );
        if self.dialect == Dialect::Iptables {
            text.counter(
                "sync_proxy_rules_iptables_partial_restore_failures_total",
                "Cumulative proxy iptables partial restore failures",
                self.partial_failures,
            );
        }
    }

    fn write_changes(&self, text: &mut Text) {
        for (name, what, changes) in [
            ("endpoint", "Endpoint", self.endpoints),
            ("service", "Service", self.services),
        ] {
            text.gauge(
                &format!("sync_proxy_rules_{name}_changes_pending"),
                &format!("Pending proxy rules {what} changes"),
                &changes.pending.to_string(),
            );
            text.counter(
                &format!("sync_proxy_rules_{name}_changes_total"),
                &format!("Cumulative proxy rules {what} changes"),
                changes.total,
            );
        }
    }
}

/// Seconds since 1970, to the nanosecond: more digits than a float has.
fn unix_seconds(at: SimTime) -> String {
    let nanos = at.as_nanos();
    let seconds = EPOCH_UNIX_SECONDS + nanos / 1_000_000_000;
    format!("{seconds}.{:09}", nanos % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use crate::Basis;
    use crate::basis::any_facts;

    use super::*;

    fn at(millis: u64) -> SimTime {
        SimTime::from_nanos(millis * 1_000_000)
    }

    fn report(kind: SyncKind, result: Result<(), ()>) -> SyncReport<()> {
        let nothing = Basis::empty(any_facts());
        SyncReport {
            started: at(1_000),
            ended: at(1_005),
            kind,
            periodic: false,
            before: nothing.clone(),
            after: nothing,
            result,
        }
    }

    #[track_caller]
    fn check(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.text();
        for line in lines {
            assert!(text.lines().any(|one| one == *line), "{line}\n{text}");
        }
    }

    #[test]
    fn proxy_76_syncs() {
        let mut metrics = Metrics::new(Dialect::Iptables);
        metrics.changed(ChangeOf::Endpoints, at(500));
        metrics.changed(ChangeOf::Service, at(750));
        metrics.synced(&report(SyncKind::Partial, Err(())));
        check(
            &metrics,
            &[
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds 0",
                "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds 1767225600.750000000",
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending 1",
                "kubeproxy_sync_proxy_rules_iptables_restore_failures_total 1",
                "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total 1",
            ],
        );
        metrics.synced(&report(SyncKind::Full, Ok(())));
        metrics.count_iptables_rules(TableName::Nat, 9, 2);
        check(
            &metrics,
            &[
                "# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram",
                "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.004\"} 0",
                "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.008\"} 2",
                "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"16.384\"} 2",
                "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"+Inf\"} 2",
                "kubeproxy_sync_proxy_rules_duration_seconds_sum 0.01",
                "kubeproxy_sync_proxy_rules_duration_seconds_count 2",
                "kubeproxy_sync_full_proxy_rules_duration_seconds_count 1",
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds 1767225601.005000000",
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
                "kubeproxy_sync_proxy_rules_endpoint_changes_total 1",
                "kubeproxy_sync_proxy_rules_service_changes_total 1",
                "kubeproxy_sync_proxy_rules_iptables_total{table=\"nat\"} 9",
                "kubeproxy_sync_proxy_rules_iptables_last{table=\"nat\"} 2",
            ],
        );
    }

    #[test]
    fn proxy_76_what_is_of_one_dialect() {
        let metrics = Metrics::new(Dialect::Nftables);
        check(
            &metrics,
            &["kubeproxy_sync_proxy_rules_nftables_sync_failures_total 0"],
        );
        assert!(!metrics.text().contains("iptables"));
        let metrics = Metrics::new(Dialect::Ipvs);
        check(
            &metrics,
            &["kubeproxy_sync_proxy_rules_iptables_restore_failures_total 0"],
        );
        assert!(!metrics.text().contains("partial_restore"));
    }

    #[test]
    fn proxy_76_answers_and_connections() {
        let mut metrics = Metrics::new(Dialect::Nftables);
        metrics.answered_healthz(200);
        metrics.answered_healthz(503);
        metrics.answered_healthz(503);
        metrics.reconciled_conntrack(Duration::from_millis(2), 7);
        metrics.programmed_within(Duration::from_millis(300));
        check(
            &metrics,
            &[
                "# TYPE kubeproxy_proxy_healthz_total counter",
                "kubeproxy_proxy_healthz_total{code=\"200\"} 1",
                "kubeproxy_proxy_healthz_total{code=\"503\"} 2",
                "kubeproxy_conntrack_reconciler_deleted_entries_total 7",
                "kubeproxy_conntrack_reconciler_sync_duration_seconds_count 1",
                "kubeproxy_network_programming_duration_seconds_bucket{le=\"0.25\"} 0",
                "kubeproxy_network_programming_duration_seconds_bucket{le=\"0.5\"} 1",
                "kubeproxy_network_programming_duration_seconds_bucket{le=\"300\"} 1",
            ],
        );
    }
}
