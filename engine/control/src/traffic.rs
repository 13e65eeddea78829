//! Traffic in the background, and what became of it.
//!
//! Memory is bounded however long it runs: connections are counted by how they ended, who answered and between
//! which zones, latencies go into a [`Histogram`], and only the first failures are kept with their story.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use api::ObjectKey;
use base::{SimTime, format_duration, parse_duration};
use ruleset::Protocol;

use crate::{Histogram, Outcome, Source, Target};

/// Connections or requests to make while other things happen.
#[derive(Clone, Debug)]
pub struct TrafficRequest {
    /// Names it, to stop it.
    pub id: String,
    /// Who sends, in turn.
    pub from: Vec<Sender>,
    /// To where. A name is resolved for every connection.
    pub to: Target,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// How often.
    pub rate: Rate,
    /// For how long; `None`: until it is stopped.
    pub span: Option<Duration>,
    /// Whether a connection serves one request or more.
    pub reuse: Reuse,
    /// How long a client waits for an answer.
    pub timeout: Duration,
    /// What each request sends.
    pub payload: Vec<u8>,
}

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// One, while it exists.
    One(Source),
    /// All ready Pods of a workload, as they come and go.
    PodsOf(ObjectKey),
}

/// Whether a connection serves one request or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One.
    None,
    /// As many as it lasts for; another one is made where none is free.
    Keepalive,
}

/// How often something is done: `200/s`, `10/m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no rate: expected a whole number per span of time, such as 200/s, 30/m or 1/500ms, of at most {}/s",
    Rate::PER_SECOND_MAX
)]
pub struct RateError {
    text: String,
}

impl Rate {
    /// More often is refused.
    pub const PER_SECOND_MAX: u32 = 1_000_000;

    /// From the begin to the one of this number, which counts from 0.
    #[must_use]
    pub fn offset(self, number: u64) -> Duration {
        let per = self.per.as_nanos();
        let nanos = u128::from(number) * per / u128::from(self.count);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let read = || {
            let (count, per) = text.split_once('/')?;
            let is_number = count.bytes().all(|byte| byte.is_ascii_digit());
            let count: u32 = count.parse().ok().filter(|count| is_number && *count > 0)?;
            let per = match per.starts_with(|first: char| first.is_ascii_digit()) {
                true => parse_duration(per).ok()?,
                false => parse_duration(&format!("1{per}")).ok()?,
            };
            let rate = Self { count, per };
            let most = u128::from(Self::PER_SECOND_MAX) * per.as_nanos();
            (u128::from(count) * 1_000_000_000 <= most).then_some(rate)
        };
        read().ok_or_else(|| RateError {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("s", 1), ("m", 60), ("h", 3600)];
        let is_it = |(_, seconds): &&(&str, u64)| self.per == Duration::from_secs(*seconds);
        match units.iter().find(is_it) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{}/{}", self.count, format_duration(self.per)),
        }
    }
}

/// What became of traffic that has ended.
#[derive(Clone, Debug, Default)]
pub struct TrafficReport {
    /// When it began.
    pub started: SimTime,
    /// When no more of it began.
    pub ended: SimTime,
    /// First requests of connections.
    pub new: Tally,
    /// Later requests of connections.
    pub established: Tally,
    /// How often it was somebody's turn and nobody was there to send.
    pub nobody: u64,
    /// Requests whose client went away before they had ended.
    pub abandoned: u64,
    /// Queries of the lookups before connections.
    pub dns_queries: u64,
    /// The first failures, in the order in which they were noticed.
    pub failures: Vec<TrafficFailure>,
}

impl TrafficReport {
    /// So many failures are told of.
    pub const FAILURES_MAX: usize = 20;

    /// All requests.
    #[must_use]
    pub fn all(&self) -> Tally {
        let mut all = self.new.clone();
        all.merge(&self.established);
        all
    }

    /// Where requests are counted whose connections had served another before, or had not.
    pub const fn tally(&mut self, established: bool) -> &mut Tally {
        match established {
            true => &mut self.established,
            false => &mut self.new,
        }
    }
}

/// Requests, counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By what became of them.
    pub fates: BTreeMap<Fate, u64>,
    /// From dialling to the connection's standing, or from a later request to its answer, of those that ended well.
    pub latency: Histogram,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fate {
    /// How it ended.
    pub outcome: Outcome,
    /// Who answered, as [`crate::Peer::name`].
    pub backend: Option<Arc<str>>,
    /// The zone of its client.
    pub from_zone: Arc<str>,
    /// The zone of who answered.
    pub to_zone: Option<Arc<str>>,
}

impl Tally {
    /// Counts so many more.
    pub fn add(&mut self, fate: Fate, count: u64) {
        *self.fates.entry(fate).or_default() += count;
    }

    /// How many requests there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.fates.values().sum()
    }

    /// How many ended in this way.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        let fates = self
            .fates
            .iter()
            .filter(|(fate, _)| fate.outcome == outcome);
        fates.map(|(_, count)| count).sum()
    }

    /// How many did not end well.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.total() - self.count(Outcome::Connected)
    }

    /// How many each of something answered, of what `key` gives.
    #[must_use]
    pub fn by<'a, K: Ord>(&'a self, key: impl Fn(&'a Fate) -> Option<K>) -> BTreeMap<K, u64> {
        let mut counts = BTreeMap::new();
        for (fate, count) in &self.fates {
            if let Some(key) = key(fate) {
                *counts.entry(key).or_default() += count;
            }
        }
        counts
    }

    fn merge(&mut self, other: &Self) {
        for (fate, count) in &other.fates {
            self.add(fate.clone(), *count);
        }
        self.latency.merge(&other.latency);
    }
}

/// One request that did not end well.
#[derive(Clone, Debug)]
pub struct TrafficFailure {
    /// When it began.
    pub started: SimTime,
    /// When its client knew.
    pub finished: SimTime,
    /// Its client.
    pub from: Source,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether its connection had served another request before.
    pub established: bool,
    /// Why, in words: which node's rules sent it where, and how far these were behind the API.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, third) in [
            ("200/s", Duration::from_millis(10)),
            ("30/m", Duration::from_secs(4)),
            ("1/500ms", Duration::from_secs(1)),
            ("3/s", Duration::from_nanos(666_666_666)),
            ("1000000/s", Duration::from_micros(2)),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.offset(2), third, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        for text in [
            "",
            "200",
            "/s",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1/0s",
            "1/x",
            "1000001/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
