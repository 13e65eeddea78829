//! What the proxies' syncs amounted to, and what each node's rules were made of lately.
//!
//! Programming latency is counted for every change that rules are made of and every node: from the write at the API
//! server to the end of the first sync that has it (PROXY-76, `network_programming_duration_seconds`).
//!
//! Deviation: kube-proxy counts from an annotation that the endpoints controllers set, so only changes of endpoints,
//! and from the Pod's change instead of the slice's.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::SimTime;
use proxy::{SyncKind, SyncReport};
use rules::{ClusterView, ServiceName, SlicesByName};

use crate::Histogram;

/// Syncs of one node that are remembered.
const REMEMBERED: usize = 8;

/// What all proxies have done.
#[derive(Clone, Debug, Default)]
pub struct SyncFigures {
    /// Full syncs.
    pub full: u64,
    /// Partial syncs.
    pub partial: u64,
    /// What they took together.
    pub time: Duration,
    /// From a change's write to the end of the sync that has it, for every node.
    pub programming: Histogram,
}

/// The log.
#[derive(Default)]
pub(crate) struct SyncLog {
    figures: SyncFigures,
    nodes: BTreeMap<Arc<str>, Node>,
    /// Nodes that have synced since somebody asked.
    news: Vec<Arc<str>>,
}

#[derive(Default)]
struct Node {
    /// Changes that no sync has begun with: when each reached the node, and when it was written.
    waiting: VecDeque<(SimTime, SimTime)>,
    /// When each of the last syncs ended and what it wrote, the oldest first.
    lately: VecDeque<(SimTime, ClusterView)>,
}

impl SyncLog {
    pub(crate) const fn figures(&self) -> &SyncFigures {
        &self.figures
    }

    /// Which nodes have synced since this was last asked.
    pub(crate) fn news(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.news)
    }

    /// Changes have reached a node at `now`; each was written earlier.
    pub(crate) fn reached(
        &mut self,
        node: &Arc<str>,
        now: SimTime,
        written: impl Iterator<Item = SimTime>,
    ) {
        let node = self.nodes.entry(Arc::clone(node)).or_default();
        node.waiting.extend(written.map(|at| (now, at)));
    }

    /// A node's sync has ended.
    pub(crate) fn synced<E>(&mut self, node: &Arc<str>, report: &SyncReport<E>) {
        let figures = &mut self.figures;
        match report.kind {
            SyncKind::Full => figures.full += 1,
            SyncKind::Partial => figures.partial += 1,
        }
        figures.time += report.ended.since(report.started);
        if report.result.is_err() {
            return;
        }
        let log = self.nodes.entry(Arc::clone(node)).or_default();
        while let Some((_, written)) = log
            .waiting
            .pop_front_if(|(reached, _)| *reached <= report.started)
        {
            figures.programming.add(report.ended.since(written));
        }
        if log.lately.len() == REMEMBERED {
            log.lately.pop_front();
        }
        log.lately
            .push_back((report.ended, report.after.view.clone()));
        self.news.push(Arc::clone(node));
    }

    /// When a node's rules ceased to send to an endpoint: the first sync at or after `since` without it, among the
    /// last few.
    pub(crate) fn dropped_at(
        &self,
        node: &str,
        service: &ServiceName,
        endpoint: SocketAddr,
        since: SimTime,
    ) -> Option<SimTime> {
        let mut lately = self.nodes.get(node)?.lately.iter();
        let found =
            lately.find(|(ended, view)| *ended >= since && !is_offered(view, service, endpoint));
        found.map(|(ended, _)| *ended)
    }
}

/// Whether a view has an endpoint of a Service as a ready one.
#[must_use]
pub fn is_offered(view: &ClusterView, service: &ServiceName, endpoint: SocketAddr) -> bool {
    let slices = view.services.slices(service).into_iter();
    let mut slices = slices.flat_map(SlicesByName::values);
    slices.any(|slice| {
        slice.ports.iter().any(|port| port.port == endpoint.port())
            && slice
                .endpoints
                .iter()
                .any(|one| one.ready && one.address == endpoint.ip())
    })
}
