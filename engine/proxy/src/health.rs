//! What a proxy answers to those who ask about its health.
//!
//! **What.** [`ProxyHealth`] answers `/healthz` and `/livez` on port 10256; a [`HealthCheck`] answers on the health-check
//! node port of one Service. **Why.** Load balancers decide by these answers which nodes get connections, so they are part
//! of what a Service does. They are data: who listens, and where, is no matter of theirs.
//! **Source of the semantics.** PROXY-69, PROXY-71; kube-proxy 1.36 `pkg/proxy/healthcheck/proxy_health.go` and
//! `service_health.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use api::timestamp_nanos;
use base::SimTime;
use rules::{ClusterView, NodeFacts, ServiceName, ServiceView, SlicesByName};
use ruleset::Family;

/// The taint of a node that the cluster autoscaler is about to delete.
pub const TO_BE_DELETED_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// Go's zero time: never.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// An answer to an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    fn json(is_good: bool, body: String) -> Self {
        Self {
            status: if is_good { 200 } else { 503 },
            headers: vec![
                ("Content-Type", "application/json".to_owned()),
                ("X-Content-Type-Options", "nosniff".to_owned()),
            ],
            body,
        }
    }
}

/// Whether a proxy keeps up with the cluster.
///
/// Deviation: kube-proxy keeps this per address family, with a proxier for each. One sync does both here, so they are
/// healthy together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyHealth {
    /// When rules were last committed.
    pub updated_at: Option<SimTime>,
    /// Since when the oldest change has been waiting to be.
    pub pending_since: Option<SimTime>,
    /// How long a change may wait.
    pub timeout: Duration,
}

impl ProxyHealth {
    /// Whether no change has been waiting too long. A proxy that has not committed anything yet is starting, which is
    /// healthy.
    #[must_use]
    pub fn is_healthy(&self, now: SimTime) -> bool {
        let waiting = self.updated_at.and(self.pending_since);
        waiting.is_none_or(|since| now.since(since) < self.timeout)
    }

    /// The answer to `/healthz`: should load balancers send connections to this node? They should not if it is not
    /// `node_eligible`: being deleted, or tainted [`TO_BE_DELETED_TAINT`].
    #[must_use]
    pub fn healthz(&self, node_eligible: bool, families: &[Family], now: SimTime) -> Answer {
        self.answer(Some(node_eligible), families, now)
    }

    /// The answer to `/livez`: does the proxy work? What becomes of the node does not matter.
    #[must_use]
    pub fn livez(&self, families: &[Family], now: SimTime) -> Answer {
        self.answer(None, families, now)
    }

    fn answer(&self, node_eligible: Option<bool>, families: &[Family], now: SimTime) -> Answer {
        let healthy = self.is_healthy(now);
        let is_good = healthy && node_eligible != Some(false);
        let updated = self.updated_at.map(timestamp_nanos);
        let updated = updated.as_deref().unwrap_or(NEVER);
        let current = timestamp_nanos(now);
        // For those who ask whether it is recent.
        let last_updated = if is_good { &current } else { updated };
        let mut body = format!(r#"{{"lastUpdated":"{last_updated}","currentTime":"{current}""#);
        if let Some(eligible) = node_eligible {
            body += &format!(r#","nodeEligible":{eligible}"#);
        }
        body += &format!(r#","healthy":{healthy}"#);
        if self.updated_at.is_some() {
            let status = families.iter().map(|family| {
                format!(r#""{family}":{{"lastUpdated":"{updated}","healthy":{healthy}}}"#)
            });
            let status: Vec<String> = status.collect();
            body += &format!(r#","status":{{{}}}"#, status.join(","));
        }
        Answer::json(is_good, body + "}")
    }
}

/// What a node says about one Service at its health-check node port (PROXY-69).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The Service.
    pub service: ServiceName,
    /// How many endpoints of it on this node are ready. Those that are terminating are not.
    pub local_endpoints: usize,
}

impl HealthCheck {
    /// All of a node, by their ports.
    #[must_use]
    pub fn all(view: &ClusterView, facts: &NodeFacts) -> BTreeMap<u16, Self> {
        let services = view.services.existing();
        let checked = services.filter_map(|(name, service, _)| {
            Some((
                service.health_check_node_port?,
                Self::of(view, name, service, facts),
            ))
        });
        checked.collect()
    }

    /// That of one Service, whether it has a port for it or not.
    #[must_use]
    pub fn of(
        view: &ClusterView,
        name: &ServiceName,
        service: &ServiceView,
        facts: &NodeFacts,
    ) -> Self {
        Self {
            service: name.clone(),
            local_endpoints: local_endpoints(view, name, service, facts),
        }
    }

    /// The answer, whatever the path.
    #[must_use]
    pub fn answer(&self, proxy_is_healthy: bool) -> Answer {
        let Self {
            service: ServiceName { namespace, name },
            local_endpoints: count,
        } = self;
        let body = format!(
            "{{\n\t\"service\": {{\n\t\t\"namespace\": {namespace:?},\n\t\t\"name\": {name:?}\n\t}},\n\
             \t\"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {proxy_is_healthy}\n}}"
        );
        let mut answer = Answer::json(*count > 0 && proxy_is_healthy, body);
        let weight = ("X-Load-Balancing-Endpoint-Weight", count.to_string());
        answer.headers.push(weight);
        answer
    }
}

/// Different addresses, of the Service's first family: an endpoint of both families is one.
fn local_endpoints(
    view: &ClusterView,
    name: &ServiceName,
    service: &ServiceView,
    facts: &NodeFacts,
) -> usize {
    let Some(family) = service.cluster_ips.first().copied().map(Family::of) else {
        return 0;
    };
    let slices = view.services.slices(name).into_iter();
    let slices = slices.flat_map(SlicesByName::values);
    let endpoints = slices
        .filter(|slice| slice.family == family)
        .flat_map(|slice| &slice.endpoints);
    let local = endpoints.filter(|one| one.ready && one.node.as_ref() == Some(&facts.name));
    let addresses: BTreeSet<IpAddr> = local.map(|endpoint| endpoint.address).collect();
    addresses.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: &[Family] = &[Family::V4];

    fn at(seconds: u64) -> SimTime {
        SimTime::from_nanos(seconds * 1_000_000_000)
    }

    fn health(updated_at: Option<u64>, pending_since: Option<u64>) -> ProxyHealth {
        ProxyHealth {
            updated_at: updated_at.map(at),
            pending_since: pending_since.map(at),
            timeout: Duration::from_secs(60),
        }
    }

    #[test]
    fn proxy_71_a_healthy_proxy_was_updated_just_now() {
        let answer = health(Some(1), Some(100)).healthz(true, FAMILIES, at(159));
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.body,
            r#"{"lastUpdated":"2026-01-01T00:02:39Z","currentTime":"2026-01-01T00:02:39Z","nodeEligible":true,"healthy":true,"status":{"IPv4":{"lastUpdated":"2026-01-01T00:00:01Z","healthy":true}}}"#
        );
    }

    #[test]
    fn proxy_71_an_update_that_waits_too_long_is_told() {
        let answer = health(Some(1), Some(100)).livez(FAMILIES, at(160));
        assert_eq!(answer.status, 503);
        assert_eq!(
            answer.body,
            r#"{"lastUpdated":"2026-01-01T00:00:01Z","currentTime":"2026-01-01T00:02:40Z","healthy":false,"status":{"IPv4":{"lastUpdated":"2026-01-01T00:00:01Z","healthy":false}}}"#
        );
    }

    #[test]
    fn proxy_71_a_node_that_goes_is_alive_but_not_healthy() {
        let health = health(Some(1), None);
        let answer = health.healthz(false, FAMILIES, at(2));
        assert_eq!(answer.status, 503);
        assert!(
            answer
                .body
                .contains(r#""nodeEligible":false,"healthy":true"#)
        );
        assert_eq!(health.livez(FAMILIES, at(2)).status, 200);
    }

    #[test]
    fn a_proxy_that_starts_is_healthy() {
        let answer = health(None, Some(0)).healthz(true, FAMILIES, at(600));
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains("status"), "{}", answer.body);
    }

    #[test]
    fn proxy_69_a_service_is_good_where_it_has_ready_endpoints() {
        let mut check = HealthCheck {
            service: ServiceName {
                namespace: "default".into(),
                name: "web".into(),
            },
            local_endpoints: 2,
        };
        let answer = check.answer(true);
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.body,
            "{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t},\n\
             \t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}"
        );
        let weight = ("X-Load-Balancing-Endpoint-Weight", "2".to_owned());
        assert!(answer.headers.contains(&weight));
        assert_eq!(check.answer(false).status, 503);
        check.local_endpoints = 0;
        assert_eq!(check.answer(true).status, 503);
    }
}
