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
//! world, too, and opens a connection for each miss. After one that failed it waits for 100 ms; a real one does not wait,
//! and gives up at once where its health checks have failed. It is not a Pod: nothing but the node's power ends it.

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
/// For how long it tries to get an answer of cluster DNS (`defaultTimeout`).
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may be silent until it tries another one (`readTimeout`).
const SILENCE: Duration = Duration::from_secs(2);
/// How long it waits after a connection that has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The caches of all nodes, and what they wait for.
#[derive(Default)]
pub(crate) struct NodeCaches {
    caches: BTreeMap<HostId, Cache>,
    /// By the sockets that cluster DNS is asked over.
    misses: BTreeMap<SocketId, Miss>,
    wakes: BTreeSet<(SimTime, SocketId)>,
    pub(crate) figures: CacheFigures,
}

/// A query that cluster DNS was asked.
struct Miss {
    asker: Asker,
    query: Vec<u8>,
    question: Question,
    server: SocketAddr,
    deadline: SimTime,
    /// When the connection is given up: for another one, or for good.
    wakes: SimTime,
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
    pub(crate) fn next_wake(&self) -> Option<SimTime> {
        self.wakes.first().map(|(at, _)| *at)
    }

    fn hold(&mut self, socket: SocketId, miss: Miss) {
        self.wakes.insert((miss.wakes, socket));
        self.misses.insert(socket, miss);
    }

    /// Gives up a connection at an instant, if its deadline is not before it.
    fn wake_at(&mut self, socket: SocketId, at: SimTime) {
        if let Some(mut miss) = self.take(socket) {
            miss.wakes = at.min(miss.deadline);
            self.hold(socket, miss);
        }
    }

    fn take(&mut self, socket: SocketId) -> Option<Miss> {
        let miss = self.misses.remove(&socket)?;
        self.wakes.remove(&(miss.wakes, socket));
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
                .add_app((host, protocol, at), &identity, App::NodeCache);
        }
    }

    /// A node's cache is asked something.
    pub(crate) fn ask_cache(&mut self, asker: Asker, query: &[u8]) {
        let host = asker.socket.host();
        let NodeCaches {
            caches, figures, ..
        } = &mut self.caches;
        let (Some(cache), Some(server)) = (caches.get(&host), self.control.dns_address()) else {
            return;
        };
        let now = self.plane.now();
        let mut unknown = None;
        let answer = dns::serve_by(query, asker.limit(), |question| {
            if let Some(known) = cache.get(question, now) {
                figures.hits += 1;
                return known;
            }
            figures.misses += 1;
            unknown = Some(question.clone());
            Response::bare(Rcode::ServFail)
        });
        match (unknown, answer) {
            (Some(question), _) => {
                let deadline = now + PATIENCE;
                self.ask_cluster_dns(Miss {
                    asker,
                    query: query.to_vec(),
                    question,
                    server: SocketAddr::new(server, PORT),
                    deadline,
                    wakes: deadline,
                    bytes: Vec::new(),
                });
            }
            (None, Some(answer)) => asker.answer(&mut self.plane, &answer),
            (None, None) => {}
        }
    }

    /// Begins a connection to cluster DNS.
    fn ask_cluster_dns(&mut self, mut miss: Miss) {
        miss.bytes.clear();
        miss.wakes = miss.deadline;
        let socket = self.plane.connect(miss.asker.socket.host(), miss.server);
        self.caches.hold(socket, miss);
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
        let now = self.plane.now();
        match event {
            PlaneEvent::Connected { .. } => {
                let is_sent = self.plane.send(socket, &dns::framed(&miss.query)).is_ok();
                let patience = if is_sent { SILENCE } else { PAUSE };
                self.caches.wake_at(socket, now + patience);
            }
            PlaneEvent::Data { bytes, .. } => {
                miss.bytes.extend_from_slice(&bytes);
                let message = dns::take_messages(&mut miss.bytes).pop();
                match message.map(|message| dns::parse_response(&message)) {
                    Some(Ok((_, _, response))) => self.settle_miss(socket, response),
                    Some(Err(_)) => self.caches.wake_at(socket, now + PAUSE),
                    None => {}
                }
            }
            _ => self.caches.wake_at(socket, now + PAUSE),
        }
        None
    }

    /// Where a connection has led to nothing another one is tried, for as long as there is time. Then who asked is told
    /// that there is no answer, and nothing is kept of that.
    pub(crate) fn wake_misses(&mut self, now: SimTime) {
        while let Some(&(_, socket)) = self.caches.wakes.first().filter(|(at, _)| *at <= now)
            && let Some(miss) = self.caches.take(socket)
        {
            self.plane.close(socket);
            if miss.deadline <= now {
                self.answer_miss(&miss, Response::bare(Rcode::ServFail));
            } else {
                self.ask_cluster_dns(miss);
            }
        }
    }

    /// Keeps an answer, and answers who asked.
    fn settle_miss(&mut self, socket: SocketId, response: Response) {
        let Some(miss) = self.caches.take(socket) else {
            return;
        };
        self.plane.close(socket);
        let now = self.plane.now();
        let response = match self.caches.caches.get_mut(&socket.host()) {
            Some(cache) => cache.put(&miss.question, response, now),
            None => response,
        };
        self.answer_miss(&miss, response);
    }

    fn answer_miss(&mut self, miss: &Miss, response: Response) {
        let answer = dns::serve_by(&miss.query, miss.asker.limit(), |_| response);
        if let Some(answer) = answer {
            miss.asker.answer(&mut self.plane, &answer);
        }
    }
}
