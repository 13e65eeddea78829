//! One lookup, as a Pod's stub resolver does it: search list, types in parallel, servers in turn, retries, TCP.
//!
//! A state machine without I/O: the caller sends the queries that it is given, and feeds back what arrives or that
//! nothing did. It follows glibc (`resolv/res_query.c`, `resolv/res_send.c`):
//!
//! - A positive answer for any of the types ends the search. NXDOMAIN, NODATA (DNS-44) and SERVFAIL go on to the next
//!   name; silence and every other refusal end it.
//! - A server that does not answer, or answers that it cannot or will not (SERVFAIL, NOTIMP, REFUSED), is followed by
//!   the next one, `attempts` times around (DNS-68). If one of two parallel queries stays without an answer, the missing
//!   one is sent again alone, and after that what is there has to do.
//! - What came truncated is asked for again over TCP.
//!
//! Deviation: a connection is given as much time as an answer over UDP; glibc leaves that to the kernel.
//! Deviation: `rotate` begins at a server drawn for each lookup, as many short-lived processes together would.

use std::net::SocketAddr;

use base::{Rng, SimTime};

use crate::wire::{encode_query, is_encodable};
use crate::{Rcode, Record, RecordType, ResolvConf, Response, parse_response};

/// How many bytes glibc says it takes over UDP with `options edns0` (`RESOLV_EDNS_BUFFER_SIZE`).
const EDNS_SIZE: u16 = 1200;

/// What carries a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// A lookup under way.
#[derive(Clone, Debug)]
pub struct Lookup {
    conf: ResolvConf,
    names: Vec<String>,
    types: Vec<RecordType>,
    ids: Rng,
    first_server: usize,
    /// What carries the first queries for each name.
    transport: Transport,
    /// The first name is the one given, as it is, and the search list comes after it.
    is_as_is_first: bool,
    position: usize,
    /// Servers that were of no use for this name.
    tries: usize,
    name: NameState,
    outstanding: Vec<Query>,
    search: SearchState,
    history: Vec<QueryResult>,
}

/// What is known about the present name.
#[derive(Clone, Debug)]
struct NameState {
    transport: Transport,
    /// One query at a time.
    is_single: bool,
    /// Types to be asked for after those under way.
    later: Vec<RecordType>,
    answered: Vec<RecordType>,
    truncated: Vec<RecordType>,
    positive: Vec<Record>,
    rcode: Option<Rcode>,
}

/// What is known about the names before it.
#[derive(Clone, Debug, Default)]
struct SearchState {
    as_is: Option<Option<Rcode>>,
    /// Some name exists without a record of the types asked.
    has_nodata: bool,
    has_failure: bool,
}

/// A query to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its id on the wire.
    pub id: u16,
    /// With the final dot.
    pub name: String,
    /// The type asked for.
    pub record_type: RecordType,
    /// Whom to ask.
    pub server: SocketAddr,
    /// How.
    pub transport: Transport,
    /// How many bytes of an answer it says are taken over UDP, if it says.
    pub udp_size: Option<u16>,
    /// When it is sent.
    pub sent: SimTime,
}

impl Query {
    /// Its wire format.
    ///
    /// # Errors
    /// When the name cannot be a DNS name (a label of over 63 bytes, say).
    pub fn to_bytes(&self) -> Result<Vec<u8>, crate::WireError> {
        encode_query(self.id, &self.name, self.record_type, self.udp_size)
    }
}

/// What became of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryResult {
    /// The query.
    pub query: Query,
    /// The response code, or why there is none.
    pub result: Result<Rcode, &'static str>,
    /// When that was known.
    pub known: SimTime,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupStep {
    /// Send these at once and call [`Lookup::timed_out`] at the deadline unless they were all answered. They all go to
    /// one server in one way.
    Send {
        /// In order.
        queries: Vec<Query>,
        /// When to give up on them.
        deadline: SimTime,
    },
    /// Keep waiting.
    Wait,
    /// It is over.
    Done(Resolved),
}

/// The end of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The last server's word; `None` when no server ever answered.
    pub rcode: Option<Rcode>,
    /// The records of the name that answered.
    pub answers: Vec<Record>,
    /// Every query in turn.
    pub history: Vec<QueryResult>,
}

impl Lookup {
    /// Starts a lookup of `name` for the given types; `ids` draws the queries' ids. With `Transport::Tcp` no datagram is
    /// sent at all.
    #[must_use]
    pub fn start(
        conf: ResolvConf,
        name: &str,
        types: &[RecordType],
        transport: Transport,
        mut ids: Rng,
        now: SimTime,
    ) -> (Self, LookupStep) {
        // A name that has no wire format is known not to exist without asking anybody.
        let names: Vec<String> = conf
            .candidates(name)
            .filter(|name| is_encodable(name))
            .collect();
        let types: Vec<RecordType> = match conf.has("no-aaaa") {
            true => types
                .iter()
                .copied()
                .filter(|one| *one != RecordType::AAAA)
                .collect(),
            false => types.to_vec(),
        };
        let transport = match conf.has("use-vc") {
            true => Transport::Tcp,
            false => transport,
        };
        let first_server = match conf.has("rotate") {
            true => usize::try_from(ids.below(conf.nameservers.len().max(1) as u64)).unwrap_or(0),
            false => 0,
        };
        let is_single = conf.has("single-request") || conf.has("single-request-reopen");
        let mut lookup = Self {
            is_as_is_first: names.len() > 1 && conf.is_tried_first(name),
            name: NameState::new(transport, is_single),
            conf,
            names,
            types,
            ids,
            first_server,
            transport,
            position: 0,
            tries: 0,
            outstanding: Vec::new(),
            search: SearchState::default(),
            history: Vec::new(),
        };
        let step = lookup.begin(is_single, now);
        (lookup, step)
    }

    /// Takes a message that came from `server`. What is no answer to an outstanding query is ignored.
    pub fn received(&mut self, server: SocketAddr, bytes: &[u8], now: SimTime) -> LookupStep {
        let Ok((id, question, response)) = parse_response(bytes) else {
            return LookupStep::Wait;
        };
        let answered = self.outstanding.iter().position(|query| {
            query.id == id
                && query.server == server
                && query.record_type == question.record_type
                && query
                    .name
                    .trim_end_matches('.')
                    .eq_ignore_ascii_case(&question.name)
        });
        match answered {
            Some(index) => self.answered(index, response, now),
            None => LookupStep::Wait,
        }
    }

    /// The deadline of the queries last sent has come.
    pub fn timed_out(&mut self, now: SimTime) -> LookupStep {
        let is_incomplete = !self.outstanding.is_empty() && !self.name.answered.is_empty();
        self.give_up("TIMEOUT", now);
        if is_incomplete && !self.name.is_single {
            self.name.is_single = true;
            let missing = self.missing();
            return self.ask(missing, now);
        }
        self.conclude(now)
    }

    /// The server cannot be reached: an ICMP error came back (`REFUSED`: nobody listens there), or a connection ended.
    pub fn failed(&mut self, why: &'static str, now: SimTime) -> LookupStep {
        if self.outstanding.is_empty() {
            return LookupStep::Wait;
        }
        self.give_up(why, now);
        self.conclude(now)
    }

    fn answered(&mut self, index: usize, response: Response, now: SimTime) -> LookupStep {
        let query = self.outstanding.remove(index);
        let record_type = query.record_type;
        let is_cut = response.truncated && query.transport == Transport::Udp;
        self.history.push(QueryResult {
            query,
            result: if is_cut {
                Err("TRUNCATED")
            } else {
                Ok(response.rcode)
            },
            known: now,
        });
        if is_cut {
            self.name.truncated.push(record_type);
        } else if matches!(response.rcode, Rcode::NoError | Rcode::NxDomain) {
            self.search.has_nodata |=
                response.rcode == Rcode::NoError && response.answers.is_empty();
            self.name.answered.push(record_type);
            self.name.positive.extend(response.answers);
            self.name.rcode = Some(response.rcode);
        } else if self.name.answered.is_empty() {
            self.name.rcode = Some(response.rcode);
        }
        match self.outstanding.is_empty() {
            true => self.conclude(now),
            false => LookupStep::Wait,
        }
    }

    fn give_up(&mut self, why: &'static str, now: SimTime) {
        let lost = std::mem::take(&mut self.outstanding);
        self.history
            .extend(lost.into_iter().map(|query| QueryResult {
                query,
                result: Err(why),
                known: now,
            }));
        if self.name.answered.is_empty() {
            self.name.later.clear();
            self.name.truncated.clear();
        }
    }

    /// Nothing is under way: goes on with this name, the next server or the next name.
    fn conclude(&mut self, now: SimTime) -> LookupStep {
        if !self.name.later.is_empty() {
            let later = std::mem::take(&mut self.name.later);
            return self.ask(later, now);
        }
        if !self.name.truncated.is_empty() {
            self.name.transport = Transport::Tcp;
            let truncated = std::mem::take(&mut self.name.truncated);
            return self.ask(truncated, now);
        }
        if !self.name.positive.is_empty() {
            return self.done(Some(Rcode::NoError));
        }
        if !self.name.answered.is_empty() {
            let rcode = self.name.rcode;
            return self.next_name(rcode, now);
        }
        self.tries += 1;
        if self.tries < self.conf.attempts() * self.conf.nameservers.len() {
            let types = self.types.clone();
            return self.ask(types, now);
        }
        let rcode = match self.history.last() {
            Some(last) => last.result.ok(),
            None => None,
        };
        self.search.has_failure |= rcode == Some(Rcode::ServFail);
        if rcode == Some(Rcode::ServFail) || self.is_at_as_is() {
            return self.next_name(rcode, now);
        }
        // Trying further names could hide the right one.
        self.done(rcode)
    }

    /// Whether the present name is the one given, with the search list to come.
    const fn is_at_as_is(&self) -> bool {
        self.is_as_is_first && self.position == 0
    }

    /// A name is done with, without a record.
    fn next_name(&mut self, rcode: Option<Rcode>, now: SimTime) -> LookupStep {
        if self.is_at_as_is() {
            self.search.as_is = Some(rcode);
        }
        self.position += 1;
        self.tries = 0;
        if self.position < self.names.len() {
            return self.begin(self.name.is_single, now);
        }
        // As glibc's `__res_context_search`: what the name itself gave outweighs what the search list gave, and of that,
        // that some name exists.
        let rcode = match &self.search {
            SearchState {
                as_is: Some(rcode), ..
            } => *rcode,
            SearchState {
                has_nodata: true, ..
            } => Some(Rcode::NoError),
            SearchState {
                has_failure: true, ..
            } => Some(Rcode::ServFail),
            SearchState { .. } => rcode,
        };
        self.done(rcode)
    }

    /// Turns to the present name.
    fn begin(&mut self, is_single: bool, now: SimTime) -> LookupStep {
        self.name = NameState::new(self.transport, is_single);
        // Whoever answers a resolver without cluster DNS knows no name of the cluster.
        if self.position >= self.names.len() || self.conf.nameservers.is_empty() {
            return self.done(Some(Rcode::NxDomain));
        }
        let types = self.types.clone();
        self.ask(types, now)
    }

    /// The types of the present name that no answer came for.
    fn missing(&self) -> Vec<RecordType> {
        let is_missing = |one: &RecordType| !self.name.answered.contains(one);
        self.types.iter().copied().filter(is_missing).collect()
    }

    fn ask(&mut self, mut types: Vec<RecordType>, now: SimTime) -> LookupStep {
        if self.name.is_single && types.len() > 1 {
            self.name.later = types.split_off(1);
        }
        let place = self.tries % self.conf.nameservers.len();
        let servers = &self.conf.nameservers;
        let server = servers[(self.first_server + place) % servers.len()];
        let edns = self.conf.has("edns0").then_some(EDNS_SIZE);
        for record_type in types {
            let id = u16::try_from(self.ids.below(1 << 16)).expect("below 2^16");
            self.outstanding.push(Query {
                id,
                name: self.names[self.position].clone(),
                record_type,
                server,
                transport: self.name.transport,
                udp_size: edns,
                sent: now,
            });
        }
        LookupStep::Send {
            queries: self.outstanding.clone(),
            deadline: now + self.conf.timeout(place),
        }
    }

    fn done(&mut self, rcode: Option<Rcode>) -> LookupStep {
        LookupStep::Done(Resolved {
            rcode,
            answers: std::mem::take(&mut self.name.positive),
            history: std::mem::take(&mut self.history),
        })
    }
}

impl NameState {
    const fn new(transport: Transport, is_single: bool) -> Self {
        Self {
            transport,
            is_single,
            later: Vec::new(),
            answered: Vec::new(),
            truncated: Vec::new(),
            positive: Vec::new(),
            rcode: None,
        }
    }
}
