//! The DNS cache on each node.
//!
//! **What.** Where `dns.nodeLocal` says so, every node answers its Pods' queries at [`NODE_LOCAL_DNS`]: from memory what
//! it was asked before, and by asking cluster DNS, through the Service, what it was not. **Why.** It saves packets and
//! the node's connection tracking, and costs freshness. **Source of the semantics.** NodeLocal DNSCache
//! (`cluster/addons/dns/nodelocaldns` of Kubernetes 1.36): misses go to cluster DNS over TCP (`force_tcp`); CoreDNS
//! `plugin/forward` for how long they wait; [`dns::Cache`] for what is kept.
//!
//! Deviation: kubelets name the cache as their Pods' server, as in IPVS mode; in the other modes a real one takes the
//! address of cluster DNS itself. Its packets are tracked as all others are. It asks cluster DNS about names of the
//! world, too, and opens a connection for each miss. It is not a Pod: nothing but the node's power ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::SimTime;
use control::{CacheFigures, NODE_LOCAL_DNS};
use dns::{Cache, Question, Rcode, Response};
use plane::{HostId, NodeId, Plane, PlaneEvent, SocketId};
use ruleset::Protocol;

use crate::app::{App, Identity};
use crate::sim::Sim;

/// The port of DNS.
const PORT: u16 = 53;
/// How long it waits for cluster DNS (`defaultTimeout`).
const PATIENCE: Duration = Duration::from_secs(5);

/// The caches of all nodes, and what they wait for.
#[derive(Default)]
pub(crate) struct NodeCaches {
    caches: BTreeMap<HostId, Cache>,
    /// By the sockets that cluster DNS is asked over.
    misses: BTreeMap<SocketId, Miss>,
    deadlines: BTreeSet<(SimTime, SocketId)>,
    pub(crate) figures: CacheFigures,
}

/// A query that cluster DNS was asked.
struct Miss {
    host: HostId,
    asker: Asker,
    query: Vec<u8>,
    question: Question,
    deadline: SimTime,
    /// What has come of the answer.
    bytes: Vec<u8>,
}

/// Who waits for an answer.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    /// The cache's end.
    pub(crate) socket: SocketId,
    /// The sender of a datagram; `None` for a connection.
    pub(crate) peer: Option<SocketAddr>,
}

impl Asker {
    /// The most bytes of an answer.
    const fn limit(self) -> usize {
        match self.peer {
            Some(_) => dns::UDP_MAX,
            None => dns::TCP_MAX,
        }
    }

    /// Gives an answer. Whoever has gone away meanwhile misses it.
    fn answer(self, plane: &mut Plane, bytes: &[u8]) {
        let _ = match self.peer {
            Some(peer) => plane.send_to(self.socket, peer, bytes),
            None => plane.send(self.socket, &dns::framed(bytes)),
        };
    }
}

impl NodeCaches {
    /// When the first of them will wait no longer.
    pub(crate) fn next_deadline(&self) -> Option<SimTime> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn take(&mut self, socket: SocketId) -> Option<Miss> {
        let miss = self.misses.remove(&socket)?;
        self.deadlines.remove(&(miss.deadline, socket));
        Some(miss)
    }
}

impl Sim {
    /// Starts the cache of a node, if nodes have one; it knows nothing yet.
    pub(crate) fn start_cache(&mut self, node: NodeId) {
        if !self.control.config().node_local_dns || self.control.dns_address().is_none() {
            return;
        }
        let host = self.plane.node_host(node);
        let gone: Vec<SocketId> = self
            .caches
            .misses
            .range(host.sockets())
            .map(|(socket, _)| *socket)
            .collect();
        for socket in gone {
            self.caches.take(socket);
        }
        let at = SocketAddr::new(NODE_LOCAL_DNS, PORT);
        // Who has the port already keeps it.
        if self.plane.listen_locally(node, at).is_err() {
            return;
        }
        let cache = Cache::new(&self.control.config().dns_domain);
        self.caches.caches.insert(host, cache);
        let node = self.plane.node_name(node);
        let identity = Arc::new(Identity::new("node-local-dns", "kube-system", node));
        for protocol in [Protocol::UDP, Protocol::TCP] {
            self.fleet
                .add_app((host, protocol, PORT), &identity, App::NodeCache);
        }
    }

    /// A node's cache is asked something.
    pub(crate) fn ask_cache(&mut self, asker: Asker, query: &[u8]) {
        let host = asker.socket.host();
        let (Some(cache), Some(server)) =
            (self.caches.caches.get(&host), self.control.dns_address())
        else {
            return;
        };
        let now = self.plane.now();
        let mut unknown = None;
        let answer = dns::serve_by(query, asker.limit(), |question| {
            cache.get(question, now).unwrap_or_else(|| {
                unknown = Some(question.clone());
                Response::bare(Rcode::ServFail)
            })
        });
        let Some(question) = unknown else {
            self.caches.figures.hits += 1;
            if let Some(answer) = answer {
                asker.answer(&mut self.plane, &answer);
            }
            return;
        };
        self.caches.figures.misses += 1;
        let socket = self.plane.connect(host, SocketAddr::new(server, PORT));
        let deadline = now + PATIENCE;
        self.caches.deadlines.insert((deadline, socket));
        let miss = Miss {
            host,
            asker,
            query: query.to_vec(),
            question,
            deadline,
            bytes: Vec::new(),
        };
        self.caches.misses.insert(socket, miss);
    }

    /// Takes an event that concerns a query to cluster DNS; gives back one that does not.
    pub(crate) fn hear_for_cache(&mut self, event: PlaneEvent) -> Option<PlaneEvent> {
        if self.caches.misses.is_empty() {
            return Some(event);
        }
        let Some(socket) = crate::sim::socket_of(&event) else {
            return Some(event);
        };
        let Some(miss) = self.caches.misses.get_mut(&socket) else {
            return Some(event);
        };
        match event {
            PlaneEvent::Connected { .. } => {
                let query = dns::framed(&miss.query);
                if self.plane.send(socket, &query).is_err() {
                    self.settle_miss(socket, None);
                }
            }
            PlaneEvent::Data { bytes, .. } => {
                miss.bytes.extend_from_slice(&bytes);
                if let Some(message) = dns::take_messages(&mut miss.bytes).pop() {
                    let read = dns::parse_response(&message).ok();
                    self.settle_miss(socket, read.map(|(_, _, response)| response));
                }
            }
            _ => self.settle_miss(socket, None),
        }
        None
    }

    /// Those who have waited long enough are told that there is no answer.
    pub(crate) fn give_up_misses(&mut self, now: SimTime) {
        while let Some((_, socket)) = self
            .caches
            .deadlines
            .first()
            .copied()
            .filter(|(at, _)| *at <= now)
        {
            self.settle_miss(socket, None);
        }
    }

    /// Answers who asked, and keeps the answer.
    fn settle_miss(&mut self, socket: SocketId, response: Option<Response>) {
        let Some(miss) = self.caches.take(socket) else {
            return;
        };
        self.plane.close(socket);
        let response = response.unwrap_or_else(|| Response::bare(Rcode::ServFail));
        if let Some(cache) = self.caches.caches.get_mut(&miss.host) {
            cache.put(&miss.question, &response, self.plane.now());
        }
        let answer = dns::serve_by(&miss.query, miss.asker.limit(), |_| response);
        if let Some(answer) = answer {
            miss.asker.answer(&mut self.plane, &answer);
        }
    }
}
