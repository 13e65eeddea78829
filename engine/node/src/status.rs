//! What a running proxy answers over HTTP at present.
//!
//! **Why.** Answers must come while a sync is under way, and most of all when it hangs: so they are given by other threads,
//! from what the proxy has left here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::ProxyMode;
use proxy::{Answer, HealthCheck, Metrics, ProxyHealth};
use ruleset::Family;

use crate::WallClock;

/// What answers are made of.
pub(crate) struct Status {
    pub(crate) health: ProxyHealth,
    pub(crate) node_eligible: bool,
    pub(crate) families: Vec<Family>,
    pub(crate) metrics: Metrics,
    pub(crate) checks: BTreeMap<u16, HealthCheck>,
}

/// A [`Status`] that the proxy and its servers share.
#[derive(Clone)]
pub(crate) struct SharedStatus {
    clock: WallClock,
    mode: ProxyMode,
    status: Arc<Mutex<Status>>,
}

impl SharedStatus {
    pub(crate) fn new(clock: WallClock, mode: ProxyMode, status: Status) -> Self {
        Self {
            clock,
            mode,
            status: Arc::new(Mutex::new(status)),
        }
    }

    /// The status, to be read or changed. Nobody holds it for long.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Status> {
        // Whoever panicked has left numbers, and numbers are never half written.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the health address answers (PROXY-71).
    pub(crate) fn answer_health(&self, path: &str) -> Answer {
        let now = self.clock.now();
        let mut status = self.lock();
        match path {
            "/healthz" => {
                let (health, eligible) = (status.health, status.node_eligible);
                let answer = health.healthz(eligible, &status.families, now);
                status.metrics.answered_healthz(answer.status);
                answer
            }
            "/livez" => {
                let answer = status.health.livez(&status.families, now);
                status.metrics.answered_livez(answer.status);
                answer
            }
            _ => not_found(),
        }
    }

    /// What the metrics address answers (PROXY-64, PROXY-76).
    pub(crate) fn answer_metrics(&self, path: &str) -> Answer {
        match path {
            "/metrics" => text(
                "text/plain; version=0.0.4; charset=utf-8",
                self.lock().metrics.text(),
            ),
            "/proxyMode" => text("text/plain; charset=utf-8", self.mode.to_string()),
            "/healthz" => text("text/plain; charset=utf-8", "ok".to_owned()),
            _ => not_found(),
        }
    }

    /// What a health-check node port answers (PROXY-69).
    pub(crate) fn answer_check(&self, port: u16) -> Answer {
        let status = self.lock();
        let healthy = status.health.is_healthy(self.clock.now());
        let check = status.checks.get(&port);
        check.map_or_else(not_found, |check| check.answer(healthy))
    }
}

fn text(kind: &str, body: String) -> Answer {
    Answer {
        status: 200,
        headers: vec![("Content-Type", kind.to_owned())],
        body,
    }
}

fn not_found() -> Answer {
    Answer {
        status: 404,
        ..text(
            "text/plain; charset=utf-8",
            "404 page not found\n".to_owned(),
        )
    }
}
