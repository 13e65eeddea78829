//! The Prometheus text format, as far as the proxy's metrics go.
//!
//! **Why.** Names, help texts and labels are our own, so nothing needs to be escaped, and a library would bring a registry
//! and locks for what are plain numbers here.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fmt::Write as _;
use std::time::Duration;

use ruleset::xt::TableName;

/// Durations, counted by how long they are.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    /// Upper bounds in seconds, ascending, and how many were above the bound before and not above this one.
    buckets: Vec<(f64, u64)>,
    count: u64,
    sum: Duration,
}

impl Histogram {
    /// So many buckets, each twice as wide as the one before.
    pub(super) fn exponential(first: f64, buckets: usize) -> Self {
        let bounds = std::iter::successors(Some(first), |bound| Some(bound * 2.0));
        Self::with_bounds(bounds.take(buckets))
    }

    /// The buckets of kube-proxy's `NetworkProgrammingLatency`.
    pub(super) fn network_programming() -> Self {
        let seconds = (1..60).chain((60..120).step_by(5));
        let seconds = seconds.chain((120..=300).step_by(30));
        Self::with_bounds([0.25, 0.5].into_iter().chain(seconds.map(f64::from)))
    }

    fn with_bounds(bounds: impl Iterator<Item = f64>) -> Self {
        Self {
            buckets: bounds.map(|bound| (bound, 0)).collect(),
            count: 0,
            sum: Duration::ZERO,
        }
    }

    pub(super) fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let mut buckets = self.buckets.iter_mut();
        if let Some((_, count)) = buckets.find(|(bound, _)| seconds <= *bound) {
            *count += 1;
        }
        self.count += 1;
        self.sum += duration;
    }
}

/// The text so far.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn into_string(self) -> String {
        self.0
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(name, "", &value);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: &str) {
        self.head(name, help, "gauge");
        self.line(name, "", &value);
    }

    pub(super) fn counters_by_code(&mut self, name: &str, help: &str, values: &BTreeMap<u16, u64>) {
        self.head(name, help, "counter");
        for (code, value) in values {
            self.line(name, &format!("{{code=\"{code}\"}}"), value);
        }
    }

    pub(super) fn gauges_by_table(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (TableName, usize)>,
    ) {
        self.head(name, help, "gauge");
        for (table, value) in values {
            self.line(name, &format!("{{table=\"{}\"}}", table.as_str()), &value);
        }
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, help, "histogram");
        let bucket = format!("{name}_bucket");
        let mut up_to = 0;
        for (bound, count) in &histogram.buckets {
            up_to += count;
            self.line(&bucket, &format!("{{le=\"{bound}\"}}"), &up_to);
        }
        self.line(&bucket, "{le=\"+Inf\"}", &histogram.count);
        self.line(&format!("{name}_sum"), "", &histogram.sum.as_secs_f64());
        self.line(&format!("{name}_count"), "", &histogram.count);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.0 += &format!("# HELP kubeproxy_{name} {help}\n# TYPE kubeproxy_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: &dyn Display) {
        writeln!(self.0, "kubeproxy_{name}{labels} {value}").expect("a String takes everything");
    }
}
