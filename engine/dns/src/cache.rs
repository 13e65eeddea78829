//! A cache of answers, as the one on each node keeps them (NodeLocal DNSCache).
//!
//! **What.** [`Cache`] keeps answers for as long as their records may be kept, within bounds, and gives them with what is
//! left of that time. **Why.** A name that was deleted is answered for a while yet, and one that did not exist is denied
//! for a while after it does: what a cache saves is paid for in freshness (DNS-42, DNS-45, DNS-69).
//! **Source of the semantics.** CoreDNS 1.14 `plugin/cache` (`computeTTL`, `dnsutil.MinimalTTL`); the Corefile of
//! kubernetes 1.36 `cluster/addons/dns/nodelocaldns/nodelocaldns.yaml`.
//!
//! Deviation: there is neither `prefetch` nor `serve_stale`, which that Corefile does not ask for either. When it is full,
//! what expires first goes; CoreDNS draws it.

use std::collections::BTreeMap;
use std::time::Duration;

use base::SimTime;

use crate::{Question, Rcode, Record, RecordType, Response};

/// How many answers are kept (`success 9984`, `denial 9984`).
const CAPACITY: usize = 9984;
/// Whatever is kept is kept as long (`minttl`), and so is what says no time of its own (`MinimalDefaultTTL`).
const TTL_MIN: u32 = 5;
/// How long a name's records are kept at most, and those of names of the world (`cache 30`).
const TTL_MAX: u32 = 30;
/// How long it is kept that the cluster has no such name or record (`denial 9984 5`).
const DENIAL_MAX: u32 = 5;
/// How long it is kept that the server could not answer (`servfail`).
const FAILURE: u32 = 5;

/// Answers that were given before.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The cluster's zone, in lower case and without a final dot.
    zone: String,
    answers: BTreeMap<(String, RecordType), Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    response: Response,
    since: SimTime,
    until: SimTime,
}

impl Cache {
    /// An empty one, in a cluster of this zone.
    #[must_use]
    pub fn new(zone: &str) -> Self {
        Self {
            zone: zone.trim_end_matches('.').to_ascii_lowercase(),
            answers: BTreeMap::new(),
        }
    }

    /// The answer that is known at an instant, with the time that is left of its records'. Some clients throw away what
    /// is not authoritative, so all of them are (`toMsg`).
    #[must_use]
    pub fn get(&self, question: &Question, now: SimTime) -> Option<Response> {
        let kept = self.answers.get(&key(question))?;
        if kept.until <= now {
            return None;
        }
        let age = u32::try_from(now.since(kept.since).as_secs()).unwrap_or(u32::MAX);
        let mut response = kept.response.clone();
        for record in records_mut(&mut response) {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(Response {
            authoritative: true,
            ..response
        })
    }

    /// Keeps an answer from an instant on, if it may be kept; gives it with the time that its records are kept for
    /// (`ResponseWriter.WriteMsg`).
    pub fn put(&mut self, question: &Question, mut response: Response, now: SimTime) -> Response {
        let Some(ttl) = self.time_of(question, &response) else {
            return response;
        };
        for record in records_mut(&mut response) {
            record.ttl = ttl;
        }
        let key = key(question);
        if self.answers.len() >= CAPACITY && !self.answers.contains_key(&key) {
            let first = self.answers.iter().min_by_key(|(_, kept)| kept.until);
            let first = first.map(|(key, _)| key.clone());
            first.map(|key| self.answers.remove(&key));
        }
        let kept = Kept {
            response: response.clone(),
            since: now,
            until: now + Duration::from_secs(ttl.into()),
        };
        self.answers.insert(key, kept);
        response
    }

    /// For how many seconds an answer is kept.
    fn time_of(&self, question: &Question, response: &Response) -> Option<u32> {
        let denies = response.answers.is_empty();
        let most = match response.rcode {
            _ if response.truncated => return None,
            Rcode::ServFail => return Some(FAILURE),
            Rcode::NoError | Rcode::NxDomain if denies && self.is_of_cluster(&question.name) => {
                DENIAL_MAX
            }
            Rcode::NoError | Rcode::NxDomain => TTL_MAX,
            Rcode::FormErr | Rcode::NotImp | Rcode::Refused => return None,
        };
        let records = [&response.answers, &response.authority, &response.additional];
        let least = records.into_iter().flatten().map(|record| record.ttl).min();
        Some(least.unwrap_or(TTL_MIN).clamp(TTL_MIN, most))
    }

    fn is_of_cluster(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let left = name.strip_suffix(&self.zone);
        left.is_some_and(|left| left.is_empty() || left.ends_with('.'))
    }
}

fn key(question: &Question) -> (String, RecordType) {
    let name = question.name.trim_end_matches('.').to_ascii_lowercase();
    (name, question.record_type)
}

fn records_mut(response: &mut Response) -> impl Iterator<Item = &mut Record> {
    let records = response.answers.iter_mut();
    records
        .chain(&mut response.authority)
        .chain(&mut response.additional)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordData;

    fn asked(name: &str) -> Question {
        Question {
            name: name.to_owned(),
            record_type: RecordType::A,
        }
    }

    fn found(ttl: u32) -> Response {
        Response {
            authoritative: true,
            answers: vec![Record {
                name: "web.shop.svc.cluster.local".to_owned(),
                ttl,
                data: RecordData::A([10, 96, 0, 7].into()),
            }],
            ..Response::bare(Rcode::NoError)
        }
    }

    fn denied(ttl: u32) -> Response {
        Response {
            authority: found(ttl).answers,
            ..Response::bare(Rcode::NxDomain)
        }
    }

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + Duration::from_secs(seconds)
    }

    /// For how many seconds an answer is kept: at the last of them it is still known.
    fn check(name: &str, response: &Response, expected: Option<u64>) {
        let mut cache = Cache::new("cluster.local");
        cache.put(&asked(name), response.clone(), at(100));
        let known = |seconds: u64| cache.get(&asked(name), at(100 + seconds)).is_some();
        let kept = (0..=100).take_while(|second| known(*second)).count() as u64;
        assert_eq!(Some(kept).filter(|kept| *kept > 0), expected, "{name}");
    }

    #[test]
    fn times_have_bounds() {
        let name = "web.shop.svc.cluster.local";
        check(name, &found(30), Some(30));
        check(name, &found(3600), Some(30));
        check(name, &found(0), Some(5));
        check(name, &denied(30), Some(5));
        check("CLUSTER.local", &denied(30), Some(5));
        check("notcluster.local", &denied(30), Some(30));
        check("example.com", &denied(300), Some(30));
        check(name, &Response::bare(Rcode::NoError), Some(5));
        check(name, &Response::bare(Rcode::ServFail), Some(5));
        check(name, &Response::bare(Rcode::Refused), None);
        let truncated = Response {
            truncated: true,
            ..found(30)
        };
        check(name, &truncated, None);
    }

    #[test]
    fn what_is_left_counts_down() {
        let mut cache = Cache::new("cluster.local");
        let first = cache.put(&asked("web.shop.svc.cluster.local"), found(3600), at(10));
        assert_eq!(first.answers[0].ttl, 30);
        let later = cache
            .get(&asked("WEB.shop.svc.cluster.local."), at(32))
            .unwrap();
        assert_eq!(later.answers[0].ttl, 8);
        assert!(later.authoritative);
        let other = Question {
            record_type: RecordType::AAAA,
            ..asked("web.shop.svc.cluster.local")
        };
        assert_eq!(cache.get(&other, at(32)), None);
    }

    #[test]
    fn a_full_one_lets_go_of_what_expires_first() {
        let mut cache = Cache::new("cluster.local");
        cache.put(&asked("first"), found(10), at(0));
        for number in 1..=CAPACITY {
            cache.put(&asked(&format!("name-{number}")), found(30), at(1));
        }
        assert_eq!(cache.answers.len(), CAPACITY);
        assert_eq!(cache.get(&asked("first"), at(1)), None);
        assert!(cache.get(&asked("name-1"), at(1)).is_some());
    }
}
