//! One lookup, as a Pod's stub resolver does it: search list, types in parallel, servers in turn, retries.
//!
//! A state machine without I/O. The caller sends the queries it is given, and feeds back what arrives or that
//! nothing did. It follows glibc: a positive answer for any of the types ends the search; NXDOMAIN and NODATA go
//! on to the next name (DNS-44); a server that does not answer, or answers that it cannot or will not (SERVFAIL,
//! NOTIMP, REFUSED), is asked again, `attempts` times in all (DNS-68).
//!
//! Deviation: of a truncated answer the records that fit are taken; glibc would ask again over TCP.

use std::net::SocketAddr;

use base::{Rng, SimTime};

use crate::wire::is_encodable;
use crate::{Rcode, Record, RecordType, ResolvConf, Response, parse_response, query};

/// A lookup under way.
#[derive(Clone, Debug)]
pub struct Lookup {
    conf: ResolvConf,
    names: Vec<String>,
    types: Vec<RecordType>,
    ids: Rng,
    position: usize,
    tries: usize,
    outstanding: Vec<Query>,
    positive: Vec<Record>,
    last_rcode: Option<Rcode>,
    /// Some name of the search exists without a record of the types asked.
    seen_nodata: bool,
    history: Vec<QueryResult>,
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
}

impl Query {
    /// Its wire format.
    ///
    /// # Errors
    /// When the name cannot be a DNS name (a label of over 63 bytes, say).
    pub fn to_bytes(&self) -> Result<Vec<u8>, crate::WireError> {
        query(self.id, &self.name, self.record_type)
    }
}

/// What became of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryResult {
    /// The query.
    pub query: Query,
    /// The response code, or why there is none.
    pub result: Result<Rcode, &'static str>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupStep {
    /// Send these at once and call [`Lookup::timed_out`] at the deadline unless they were all answered.
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
    /// Starts a lookup of `name` for the given types; `ids` draws the queries' ids.
    #[must_use]
    pub fn start(
        conf: ResolvConf,
        name: &str,
        types: &[RecordType],
        ids: Rng,
        now: SimTime,
    ) -> (Self, LookupStep) {
        // A name that has no wire format is known not to exist without asking anybody.
        let names = conf
            .candidates(name)
            .filter(|name| is_encodable(name))
            .collect();
        let mut lookup = Self {
            conf,
            names,
            types: types.to_vec(),
            ids,
            position: 0,
            tries: 0,
            outstanding: Vec::new(),
            positive: Vec::new(),
            last_rcode: None,
            seen_nodata: false,
            history: Vec::new(),
        };
        let step = lookup.ask(now);
        (lookup, step)
    }

    /// Takes a datagram that came from `server`. What is no answer to an outstanding query is ignored.
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
        self.unanswered("TIMEOUT", now)
    }

    /// The server cannot be reached: an ICMP error came back (`REFUSED`: nobody listens there).
    pub fn failed(&mut self, why: &'static str, now: SimTime) -> LookupStep {
        self.unanswered(why, now)
    }

    fn answered(&mut self, index: usize, response: Response, now: SimTime) -> LookupStep {
        let query = self.outstanding.remove(index);
        self.history.push(QueryResult {
            query,
            result: Ok(response.rcode),
        });
        if !matches!(response.rcode, Rcode::NoError | Rcode::NxDomain) {
            return self.try_again(now);
        }
        self.seen_nodata |= response.rcode == Rcode::NoError && response.answers.is_empty();
        self.last_rcode = Some(response.rcode);
        self.positive.extend(response.answers);
        if !self.outstanding.is_empty() {
            return LookupStep::Wait;
        }
        if self.positive.is_empty() {
            self.next_name(now)
        } else {
            self.done()
        }
    }

    fn unanswered(&mut self, why: &'static str, now: SimTime) -> LookupStep {
        if self.outstanding.is_empty() {
            return LookupStep::Wait;
        }
        let lost = std::mem::take(&mut self.outstanding);
        self.history
            .extend(lost.into_iter().map(|query| QueryResult {
                query,
                result: Err(why),
            }));
        if self.positive.is_empty() {
            self.try_again(now)
        } else {
            self.done()
        }
    }

    /// Asks the next server, or the first one again; gives up after `attempts` rounds.
    fn try_again(&mut self, now: SimTime) -> LookupStep {
        self.outstanding.clear();
        self.positive.clear();
        self.tries += 1;
        let rounds = usize::try_from(self.conf.attempts).unwrap_or(usize::MAX);
        if self.tries < rounds.saturating_mul(self.conf.nameservers.len()) {
            return self.ask(now);
        }
        // A server's failure ends the search: trying further names could hide the right one.
        self.last_rcode = match self.history.last() {
            Some(QueryResult {
                result: Ok(rcode), ..
            }) => Some(*rcode),
            _ => None,
        };
        self.done()
    }

    fn next_name(&mut self, now: SimTime) -> LookupStep {
        self.position += 1;
        self.tries = 0;
        if self.position < self.names.len() {
            return self.ask(now);
        }
        // As glibc's res_nsearch: that some name exists outweighs that the others do not.
        if self.seen_nodata {
            self.last_rcode = Some(Rcode::NoError);
        }
        self.done()
    }

    fn ask(&mut self, now: SimTime) -> LookupStep {
        let Some(name) = self.names.get(self.position).cloned() else {
            self.last_rcode = Some(Rcode::NxDomain);
            return self.done();
        };
        // Whoever answers a resolver without cluster DNS knows no name of the cluster.
        if self.conf.nameservers.is_empty() {
            self.last_rcode = Some(Rcode::NxDomain);
            return self.done();
        }
        let server = self.conf.nameservers[self.tries % self.conf.nameservers.len()];
        for record_type in self.types.clone() {
            let id = u16::try_from(self.ids.below(1 << 16)).expect("below 2^16");
            self.outstanding.push(Query {
                id,
                name: name.clone(),
                record_type,
                server,
            });
        }
        LookupStep::Send {
            queries: self.outstanding.clone(),
            deadline: now + self.conf.timeout,
        }
    }

    fn done(&mut self) -> LookupStep {
        let rcode = match self.positive.is_empty() {
            true => self.last_rcode,
            false => Some(Rcode::NoError),
        };
        LookupStep::Done(Resolved {
            rcode,
            answers: std::mem::take(&mut self.positive),
            history: std::mem::take(&mut self.history),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::Seed;

    use super::*;
    use crate::{ClusterZone, UDP_MAX, serve};

    const SERVER: &str = "10.96.0.10";

    fn start(name: &str) -> (Lookup, LookupStep) {
        let conf = ResolvConf::cluster_first(SERVER.parse().unwrap(), "shop", "cluster.local");
        let ids = Seed::new(1).split("ids");
        Lookup::start(conf, name, &[RecordType::A], ids, SimTime::ZERO)
    }

    #[test]
    fn dns_68_an_unanswered_query_is_sent_twice_in_ten_seconds() {
        let (mut lookup, mut step) = start("cart");
        let mut now = SimTime::ZERO;
        let mut sent = 0;
        let resolved = loop {
            match step {
                LookupStep::Send { queries, deadline } => {
                    sent += queries.len();
                    now = deadline;
                    step = lookup.timed_out(now);
                }
                LookupStep::Done(resolved) => break resolved,
                LookupStep::Wait => unreachable!("nothing else is outstanding"),
            }
        };
        assert_eq!((sent, now), (2, SimTime::ZERO + Duration::from_secs(10)));
        assert_eq!(resolved.rcode, None);
    }

    #[test]
    fn an_empty_zone_is_searched_to_the_end() {
        let zone = ClusterZone::new("cluster.local");
        let (mut lookup, mut step) = start("cart");
        let resolved = loop {
            match step {
                LookupStep::Send { queries, .. } => {
                    let bytes = queries[0].to_bytes().unwrap();
                    let reply = serve(&zone, &bytes, UDP_MAX).unwrap();
                    step = lookup.received(queries[0].server, &reply, SimTime::ZERO);
                }
                LookupStep::Done(resolved) => break resolved,
                LookupStep::Wait => unreachable!("the answer was fed"),
            }
        };
        assert_eq!(resolved.rcode, Some(Rcode::NxDomain));
        assert_eq!(resolved.history.len(), 4);
    }

    #[test]
    fn an_answer_from_elsewhere_is_ignored() {
        let zone = ClusterZone::new("cluster.local");
        let (mut lookup, step) = start("cart");
        let LookupStep::Send { queries, .. } = step else {
            panic!("a query comes first")
        };
        let reply = serve(&zone, &queries[0].to_bytes().unwrap(), UDP_MAX).unwrap();
        let stranger = "10.0.0.1:53".parse().unwrap();
        assert_eq!(
            lookup.received(stranger, &reply, SimTime::ZERO),
            LookupStep::Wait
        );
    }
}
