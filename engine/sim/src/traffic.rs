//! Traffic in the background: clients that set out by the clock while other things happen.
//!
//! **What.** A stream of requests at a steady rate, from its senders in turn; each is counted when its client is done.
//! **Why.** What a change costs shows only to those who connect while it happens. **Source of the semantics.** design:
//! `traffic`/`stop`; PROXY-65, EP-73 are what it meets.
//!
//! Deviation: the rate is exact, without the jitter of a real load generator: the same instants in every mode.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::ObjectKey;
use base::SimTime;
use control::{
    Fate, Outcome, ReferenceError, Reuse, Sender, Source, TrafficFailure, TrafficReport,
    TrafficRequest,
};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use plane::HostId;
use ruleset::Protocol;

use crate::client::{Client, Errand};
use crate::clients::{Asker, ClientId};
use crate::senders::{Seat, Senders};
use crate::sim::Sim;
use crate::story::Open;

/// All traffic.
#[derive(Default)]
pub(crate) struct Traffic {
    streams: BTreeMap<usize, Box<Stream>>,
    begun: usize,
}

/// Requests at a rate.
struct Stream {
    request: TrafficRequest,
    senders: Senders,
    /// How many have had their turn.
    turns: u64,
    /// When the next one has; `None` when it has ended.
    next: Option<SimTime>,
    under_way: BTreeMap<ClientId, Arc<Seat>>,
    /// Connections that wait for another request, by their clients' hosts.
    free: BTreeMap<HostId, Vec<ClientId>>,
    /// Who answers: name and zone, by the begin of the answer.
    backends: HashMap<String, (Arc<str>, Arc<str>), FixedState>,
    /// Requests by whether their connections stood before, and by what became of them; in the report once all is over.
    counts: HashMap<(bool, Fate), u64, FixedState>,
    report: TrafficReport,
    /// Failures whose story is not over, by their place in the report.
    open: Vec<(usize, Open)>,
}

impl Traffic {
    /// When somebody has a turn next.
    pub(crate) fn next_at(&self) -> Option<SimTime> {
        self.streams.values().filter_map(|stream| stream.next).min()
    }

    /// Whether nothing is sent any more, and nothing is under way.
    pub(crate) fn is_over(&self) -> bool {
        let is_over = |stream: &Stream| stream.next.is_none() && stream.under_way.is_empty();
        self.streams.values().all(|stream| is_over(stream))
    }

    fn find(&self, id: &str) -> Result<usize, ReferenceError> {
        let mut streams = self.streams.iter();
        let found = streams.find(|(_, stream)| stream.request.id == id);
        found
            .map(|(number, _)| *number)
            .ok_or_else(|| ReferenceError {
                wanted: format!("traffic {id:?}"),
                existing: (self.streams.values())
                    .map(|stream| stream.request.id.clone())
                    .collect(),
            })
    }
}

impl Stream {
    /// Moves on to the next turn.
    fn take_turn(&mut self) {
        self.turns += 1;
        let offset = self.request.rate.offset(self.turns);
        let goes_on = self.request.span.is_none_or(|span| offset < span);
        self.next = goes_on.then(|| self.report.started + offset);
        if let (None, Some(span)) = (self.next, self.request.span) {
            self.report.ended = self.report.started + span;
        }
    }
}

impl Sim {
    /// Begins traffic.
    pub(crate) fn begin_traffic(&mut self, request: &TrafficRequest) -> Result<(), ReferenceError> {
        for sender in &request.from {
            match sender {
                Sender::One(source) => {
                    self.source_host(source)?;
                }
                Sender::PodsOf(workload) => self.check_exists(workload)?,
            }
        }
        let now = self.control.now();
        let stream = Stream {
            senders: Senders::new(&request.from, self.control.api()),
            request: request.clone(),
            turns: 0,
            next: Some(now),
            under_way: BTreeMap::new(),
            free: BTreeMap::new(),
            backends: HashMap::default(),
            counts: HashMap::default(),
            report: TrafficReport {
                started: now,
                ended: now,
                ..TrafficReport::default()
            },
            open: Vec::new(),
        };
        self.traffic
            .streams
            .insert(self.traffic.begun, Box::new(stream));
        self.traffic.begun += 1;
        Ok(())
    }

    /// Ends traffic, once what is under way is done.
    pub(crate) fn end_traffic(&mut self, id: &str) -> Result<TrafficReport, ReferenceError> {
        let number = self.traffic.find(id)?;
        let now = self.control.now();
        let stream = self.stream(number);
        if stream.next.take().is_some() {
            stream.report.ended = now;
        }
        while !self.stream(number).under_way.is_empty() && self.advance(SimTime::MAX) {}
        let mut stream = self.traffic.streams.remove(&number).expect("it was found");
        for client in stream.free.into_values().flatten() {
            self.release(client);
        }
        for (place, open) in stream.open {
            stream.report.failures[place].why = self.conclude(&open, None);
        }
        for ((established, fate), count) in stream.counts {
            stream.report.tally(established).add(fate, count);
        }
        Ok(stream.report)
    }

    /// Has everybody set out whose turn it is.
    pub(crate) fn run_traffic(&mut self) {
        let now = self.control.now();
        let is_due = |stream: &Stream| stream.next.is_some_and(|next| next <= now);
        let streams = self.traffic.streams.iter();
        let due = streams.filter(|(_, stream)| is_due(stream));
        let due: Vec<usize> = due.map(|(number, _)| *number).collect();
        for number in due {
            while is_due(self.stream(number)) {
                self.stream(number).take_turn();
                self.send_one(number);
            }
        }
    }

    /// Counts what clients of traffic have got done.
    pub(crate) fn settle_traffic(&mut self) {
        for (number, client) in self.clients.take_settled() {
            self.settle(number, client);
        }
    }

    /// Ends the clients of a host whose processes are no more: those of traffic are forgotten.
    pub(crate) fn end_clients(&mut self, host: HostId) {
        for (asker, client) in self.clients.on(host) {
            self.clients.tell(client, &mut self.plane, Client::killed);
            let Asker::Traffic(number) = asker else {
                continue;
            };
            self.clients.remove(client);
            let stream = self.stream(number);
            if stream.under_way.remove(&client).is_some() {
                stream.report.abandoned += 1;
            }
            stream.free.remove(&host);
        }
    }

    /// Looks whether stories of failures are over, now that a node has synced.
    pub(crate) fn follow_up(&mut self, node: &str) {
        let mut ended = Vec::new();
        for (number, stream) in &mut self.traffic.streams {
            let control = &self.control;
            stream.open.retain(|(place, open)| {
                let is_its = open.node == node;
                let dropped = is_its.then(|| open.dropped(control)).flatten();
                if let Some(dropped) = dropped {
                    ended.push((*number, *place, open.clone(), dropped));
                }
                dropped.is_none()
            });
        }
        for (number, place, open, dropped) in ended {
            let why = self.conclude(&open, Some(dropped));
            self.stream(number).report.failures[place].why = why;
        }
    }

    fn check_exists(&self, key: &ObjectKey) -> Result<(), ReferenceError> {
        let api = self.control.api();
        if api.get(key).is_some() {
            return Ok(());
        }
        let of_its_kind = api.list(key.kind, key.namespace.as_deref());
        Err(ReferenceError {
            wanted: key.to_string(),
            existing: of_its_kind.map(|object| object.key().to_string()).collect(),
        })
    }

    fn stream(&mut self, number: usize) -> &mut Stream {
        let stream = self.traffic.streams.get_mut(&number);
        stream.expect("clients of traffic go before it does")
    }

    fn send_one(&mut self, number: usize) {
        let Some(seat) = self.next_seat(number) else {
            self.stream(number).report.nobody += 1;
            return;
        };
        let client = self.reuse_connection(number, seat.errand.host);
        let client = client.unwrap_or_else(|| {
            let client = self.start_client(&seat.source, &seat.errand);
            let asker = Asker::Traffic(number);
            self.clients.push(client, asker, &self.plane)
        });
        self.stream(number).under_way.insert(client, seat);
    }

    /// A connection of a host that nobody uses and that stands, with another request on it.
    fn reuse_connection(&mut self, number: usize, host: HostId) -> Option<ClientId> {
        loop {
            let client = self.stream(number).free.get_mut(&host)?.pop()?;
            if !self.clients.get(client).is_idle() {
                self.release(client);
                continue;
            }
            let stream = self.traffic.streams.get(&number)?;
            let (payload, timeout) = (&stream.request.payload, stream.request.timeout);
            self.clients.tell(client, &mut self.plane, |client, plane| {
                client.ask(plane, payload, timeout);
            });
            return Some(client);
        }
    }

    /// Who sends next, if anybody is there.
    fn next_seat(&mut self, number: usize) -> Option<Arc<Seat>> {
        let mut stream = self.traffic.streams.remove(&number)?;
        stream.senders.catch_up(self.control.api());
        let mut found = None;
        for _ in 0..stream.senders.len() {
            let place = stream.senders.next()?;
            let fleet = self.fleet.revision();
            if place.seated == Some(fleet) {
                found.clone_from(&place.seat);
                break;
            }
            let Some(host) = self.find_host(&place.source) else {
                continue;
            };
            place.seated = matches!(place.source, Source::Pod(_)).then_some(fleet);
            if place
                .seat
                .as_ref()
                .is_none_or(|seat| seat.errand.host != host)
            {
                let errand = errand(&stream.request, host);
                let (source, zone) = (place.source.clone(), self.zone_of(&place.source));
                let seat = Seat {
                    source,
                    errand,
                    zone,
                };
                place.seat = Some(Arc::new(seat));
            }
            found.clone_from(&place.seat);
            break;
        }
        self.traffic.streams.insert(number, stream);
        found
    }

    /// Counts one request that is done.
    fn settle(&mut self, number: usize, id: ClientId) {
        // Of a client that went with its host is told when its traffic may be over already.
        let stream = self.traffic.streams.get_mut(&number);
        let Some(seat) = stream.and_then(|stream| stream.under_way.remove(&id)) else {
            return;
        };
        let client = self.clients.get(id);
        let Some((outcome, finished, latency)) = client.verdict() else {
            return;
        };
        let started = client.began().0;
        let established = !client.is_first();
        let queries = client
            .resolution()
            .map_or(0, |lookup| lookup.attempts.len() as u64);
        let backend = self.backend_of(number, id);
        let stream = self.stream(number);
        stream.report.dns_queries += queries;
        let fate = Fate {
            outcome,
            from_zone: Arc::clone(&seat.zone),
            to_zone: backend.as_ref().map(|(_, zone)| Arc::clone(zone)),
            backend: backend.map(|(name, _)| name),
        };
        *stream.counts.entry((established, fate)).or_default() += 1;
        if let Some(latency) = latency {
            stream.report.tally(established).latency.add(latency);
        }
        let is_told = stream.report.failures.len() < TrafficReport::FAILURES_MAX;
        if outcome != Outcome::Connected && is_told {
            let (why, open) = self.begin_story(id, &seat.source);
            let stream = self.stream(number);
            let place = stream.report.failures.len();
            stream.open.extend(open.map(|open| (place, open)));
            stream.report.failures.push(TrafficFailure {
                started,
                finished,
                from: seat.source.clone(),
                outcome,
                established,
                why,
            });
        }
        self.dismiss(number, id, seat.errand.host);
    }

    /// Keeps a client's connection for another request, or lets go of it. A client that got no answer over TCP does
    /// not trust its connection any more.
    fn dismiss(&mut self, number: usize, id: ClientId, host: HostId) {
        let client = self.clients.get(id);
        let is_well = client
            .verdict()
            .is_some_and(|(outcome, ..)| outcome == Outcome::Connected);
        let is_kept = client.is_idle() && (is_well || client.protocol() == Some(Protocol::UDP));
        if is_kept {
            self.stream(number).free.entry(host).or_default().push(id);
        } else {
            self.release(id);
        }
    }

    fn release(&mut self, client: ClientId) {
        if let Some(mut client) = self.clients.remove(client) {
            client.hang_up(&mut self.plane);
        }
    }

    /// Who answered a client, and in which zone.
    fn backend_of(&mut self, number: usize, id: ClientId) -> Option<(Arc<str>, Arc<str>)> {
        let client = self.clients.get(id);
        let begin = client.answerer()?;
        let stream = self.traffic.streams.get_mut(&number)?;
        if let Some(known) = stream.backends.get(begin) {
            return Some(known.clone());
        }
        let answer = client.answer()?;
        let name = format!("pod/{}/{}", answer.namespace, answer.name);
        let zone = self.control.zone_of(answer.node);
        let known: (Arc<str>, Arc<str>) = (name.into(), zone);
        stream.backends.insert(begin.to_owned(), known.clone());
        Some(known)
    }

    /// The zone of a source, as it is told.
    fn zone_of(&self, source: &Source) -> Arc<str> {
        match source {
            Source::Pod(key) => {
                let namespace = key.namespace.as_deref().unwrap_or_default();
                let pod = self.control.api().pod(namespace, &key.name);
                self.control
                    .zone_of(pod.map_or("", |pod| pod.spec.node_name.as_str()))
            }
            Source::Node(node) => self.control.zone_of(node),
            Source::Outside(_) => OUTSIDE.into(),
        }
    }
}

/// What stands for the zone of hosts outside.
const OUTSIDE: &str = "outside";

fn errand(request: &TrafficRequest, host: HostId) -> Arc<Errand> {
    Arc::new(Errand {
        host,
        to: request.to.clone(),
        protocol: request.protocol,
        timeout: request.timeout,
        payload: request.payload.clone(),
        keeps: request.reuse == Reuse::Keepalive,
    })
}
