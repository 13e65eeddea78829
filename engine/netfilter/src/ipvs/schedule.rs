//! Who gets a new connection.
//!
//! **Source of the semantics.** Linux `net/netfilter/ipvs/ip_vs_{rr,wrr,lc,wlc,sh,dh,sed,nq}.c`.
//!
//! Deviation: real servers come in the order of their addresses, in a kernel by age; so whose turn it is first, and
//! which hash leads to whom, may differ. Flags of `sh` are not looked at.

use std::net::{IpAddr, SocketAddr};

use base::SimTime;
use ruleset::ipvs::{RealServer, Scheduler, ServerKey, VirtualServer};

use super::connections::{Load, Turn, VirtualConnections};
use crate::Chooser;

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) real: SocketAddr,
    /// Whose turn it was, for who chooses next.
    pub(super) turn: Option<Turn>,
}

/// A virtual server that chooses, and what it knows.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) key: &'a ServerKey,
    pub(super) server: &'a VirtualServer,
    pub(super) client: IpAddr,
    pub(super) memory: &'a VirtualConnections,
    pub(super) now: SimTime,
}

/// The size of the tables of `sh` and `dh` (`IP_VS_SH_TAB_SIZE`).
const BUCKETS: usize = 256;

impl Choice<'_> {
    /// Chooses; `None` when nobody can be given a connection.
    pub(super) fn pick(&self, chooser: &mut impl Chooser) -> Option<Pick> {
        let hashed = match self.server.scheduler {
            Scheduler::SourceHashing => Some((self.client, true)),
            Scheduler::DestinationHashing => Some((self.key.address.ip(), false)),
            _ => None,
        };
        if let Some((address, by_weight)) = hashed {
            let real = self.bucket(bucket_of(address), by_weight)?;
            return Some(Pick { real, turn: None });
        }
        let reals: Vec<(SocketAddr, u32)> = self
            .reals()
            .map(|(address, real)| (*address, real.weight))
            .collect();
        let (place, level) = self.next(&reals)?;
        // Whoever asks for all that may be sees every real server that some memory would choose.
        let is_weighted = !matches!(
            self.server.scheduler,
            Scheduler::RoundRobin | Scheduler::LeastConnection
        );
        let share = |(_, weight): &(SocketAddr, u32)| match is_weighted {
            true => *weight,
            false => (*weight).min(1),
        };
        let shares: Vec<u32> = reals.iter().map(share).collect();
        let place = chooser.schedule(&shares, place);
        let (real, _) = *reals.get(place)?;
        let takes_turns = matches!(
            self.server.scheduler,
            Scheduler::RoundRobin | Scheduler::WeightedRoundRobin
        );
        Some(Pick {
            real,
            turn: takes_turns.then_some(Turn { real, level }),
        })
    }

    fn reals(&self) -> impl Iterator<Item = (&SocketAddr, &RealServer)> {
        self.server.real_servers.iter()
    }

    /// The place of who is next, and the level that it took.
    fn next(&self, reals: &[(SocketAddr, u32)]) -> Option<(usize, u32)> {
        let turn = self.memory.turn(self.key);
        // Behind who was last, who may be gone.
        let from = turn.map_or(0, |turn| {
            reals.partition_point(|(real, _)| *real <= turn.real)
        });
        let place = match self.server.scheduler {
            Scheduler::WeightedRoundRobin => {
                return weighted_round(reals, from, turn.map_or(0, |turn| turn.level));
            }
            Scheduler::LeastConnection => self.least(reals, Load::overhead, false)?,
            Scheduler::WeightedLeastConnection => self.least(reals, Load::overhead, true)?,
            Scheduler::ShortestExpectedDelay => self.least(reals, Load::delay, true)?,
            Scheduler::NeverQueue => {
                let mut all = (0..).zip(reals);
                let idle = all.find(|(_, (real, weight))| {
                    *weight > 0 && self.memory.load(self.key, *real, self.now).active == 0
                });
                match idle {
                    Some((place, _)) => place,
                    None => self.least(reals, Load::delay, true)?,
                }
            }
            _ => {
                let mut round = (from..reals.len()).chain(0..from);
                round.find(|place| reals[*place].1 > 0)?
            }
        };
        Some((place, 0))
    }

    /// The first one of the least cost for its weight.
    fn least(
        &self,
        reals: &[(SocketAddr, u32)],
        cost: impl Fn(Load) -> u64,
        by_weight: bool,
    ) -> Option<usize> {
        let mut least: Option<(usize, u64, u64)> = None;
        for (place, (real, weight)) in reals.iter().enumerate() {
            if *weight == 0 {
                continue;
            }
            let cost = cost(self.memory.load(self.key, *real, self.now));
            let weight = if by_weight { u64::from(*weight) } else { 1 };
            let is_less = least.is_none_or(|(_, least_cost, least_weight)| {
                least_cost * weight > cost * least_weight
            });
            if is_less {
                least = Some((place, cost, weight));
            }
        }
        least.map(|(place, ..)| place)
    }

    /// Who is behind a bucket: real servers take turns in filling them, each as many times as it has weight, or once.
    fn bucket(&self, bucket: usize, by_weight: bool) -> Option<SocketAddr> {
        let times = |real: &RealServer| match by_weight {
            true => real.weight.max(1),
            false => 1,
        };
        let around: u64 = self.reals().map(|(_, real)| u64::from(times(real))).sum();
        let mut left = u64::try_from(bucket).ok()?.checked_rem(around)?;
        let (address, real) = self.reals().find(|(_, real)| {
            let times = u64::from(times(real));
            let is_here = left < times;
            left = left.saturating_sub(times);
            is_here
        })?;
        (real.weight > 0).then_some(*address)
    }
}

/// `ip_vs_wrr_schedule`: goes round and round; a real server is chosen when its weight reaches the level, which sinks
/// with every round by what divides all weights, from the greatest of them.
fn weighted_round(reals: &[(SocketAddr, u32)], from: usize, level: u32) -> Option<(usize, u32)> {
    let weights = || reals.iter().map(|(_, weight)| *weight);
    let greatest = weights().max().filter(|greatest| *greatest > 0)?;
    let step = weights().fold(0, divisor);
    let mut level = match level {
        0 => greatest,
        level => level.min(greatest),
    };
    let mut places = from..reals.len();
    loop {
        if let Some(place) = places.find(|place| reals[*place].1 >= level) {
            return Some((place, level));
        }
        places = 0..reals.len();
        level = match level.saturating_sub(step) {
            0 => greatest,
            less => less,
        };
    }
}

/// The greatest common divisor.
const fn divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// `ip_vs_sh_hashkey`, `ip_vs_dh_hashkey`: Knuth's multiplicative hash.
fn bucket_of(address: IpAddr) -> usize {
    let folded = match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let parts = address.octets();
            let words = parts.chunks_exact(4);
            words.fold(0, |folded, word| {
                let word: [u8; 4] = word.try_into().expect("chunks of four");
                folded ^ u32::from_be_bytes(word)
            })
        }
    };
    folded.wrapping_mul(2_654_435_761) as usize % BUCKETS
}

impl Load {
    /// `ip_vs_dest_conn_overhead`
    fn overhead(self) -> u64 {
        (u64::from(self.active) << 8) + u64::from(self.inactive)
    }

    /// `ip_vs_sed_dest_overhead`: a new connection counts, too.
    fn delay(self) -> u64 {
        u64::from(self.active) + 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use base::Seed;
    use proptest::prelude::*;
    use ruleset::Protocol;
    use ruleset::ipvs::Forwarding;

    use super::*;
    use crate::ipvs::VirtualChange;
    use crate::ipvs::connections::VirtualConnection;
    use crate::ipvs::tcp::TcpPhase;
    use crate::{SeededChooser, Tuple, explore};

    /// A virtual server that gives connections away and remembers them.
    struct Bench {
        key: ServerKey,
        server: VirtualServer,
        memory: VirtualConnections,
        clients: u32,
    }

    fn real(number: usize) -> SocketAddr {
        let host = u8::try_from(number).unwrap();
        SocketAddr::from(([10, 1, 0, host], 80))
    }

    impl Bench {
        fn new(scheduler: Scheduler, weights: &[u32]) -> Self {
            let reals = weights.iter().enumerate().map(|(number, weight)| {
                let server = RealServer {
                    forwarding: Forwarding::Masquerading,
                    weight: *weight,
                    origin: None,
                };
                (real(number), server)
            });
            Self {
                key: ServerKey {
                    protocol: Protocol::TCP,
                    address: SocketAddr::from(([10, 0, 0, 1], 80)),
                },
                server: VirtualServer {
                    scheduler,
                    persistence: None,
                    scheduler_flags: 0,
                    real_servers: reals.collect(),
                    origin: None,
                },
                memory: VirtualConnections::default(),
                clients: 0,
            }
        }

        fn choice(&self) -> Choice<'_> {
            Choice {
                key: &self.key,
                server: &self.server,
                client: IpAddr::V4((0x0a02_0000 + self.clients).into()),
                memory: &self.memory,
                now: SimTime::ZERO,
            }
        }

        /// Gives one more connection away, which stays.
        fn connect(&mut self) -> Option<SocketAddr> {
            self.clients += 1;
            let choice = self.choice();
            let client = choice.client;
            let mut chooser = SeededChooser(Seed::new(1).split("unused"));
            let pick = choice.pick(&mut chooser)?;
            if let Some(turn) = pick.turn {
                self.memory.apply(VirtualChange::Turn(self.key, turn));
            }
            let connection = VirtualConnection {
                server: self.key,
                real: pick.real,
                phase: Some(TcpPhase::Established),
                expires: SimTime::ZERO + Duration::from_secs(900),
            };
            self.memory.apply(VirtualChange::Connection {
                at: SimTime::ZERO,
                tuple: Tuple::new(
                    Protocol::TCP,
                    SocketAddr::new(client, 999),
                    self.key.address,
                ),
                connection,
            });
            Some(pick.real)
        }

        fn counts(&mut self, connections: u32) -> BTreeMap<SocketAddr, u32> {
            let mut counts = BTreeMap::new();
            for _ in 0..connections {
                *counts.entry(self.connect().unwrap()).or_default() += 1;
            }
            counts
        }
    }

    /// Schedulers that have a definite share.
    const SHARING: [Scheduler; 5] = [
        Scheduler::RoundRobin,
        Scheduler::WeightedRoundRobin,
        Scheduler::LeastConnection,
        Scheduler::WeightedLeastConnection,
        Scheduler::ShortestExpectedDelay,
    ];

    proptest! {
        /// PROXY-58: connections that stay are shared by weight, or evenly where a scheduler knows no weight; whoever
        /// has no weight gets none.
        #[test]
        fn shares_are_as_defined(weights in prop::collection::vec(0_u32..5, 1..6), rounds in 1_u32..4) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            for scheduler in SHARING {
                let ignores = matches!(scheduler, Scheduler::RoundRobin | Scheduler::LeastConnection);
                let share = |weight: u32| if ignores { weight.min(1) } else { weight };
                let whole: u32 = weights.iter().map(|weight| share(*weight)).sum();
                let mut bench = Bench::new(scheduler, &weights);
                let counts = bench.counts(whole * rounds);
                for (number, weight) in weights.iter().enumerate() {
                    let count = counts.get(&real(number)).copied().unwrap_or(0);
                    prop_assert_eq!(count, share(*weight) * rounds, "{} of {:?}", scheduler, &weights);
                }
            }
        }

        /// Never-queue differs from `sed` only while somebody is idle.
        #[test]
        fn nobody_queues_while_another_is_idle(weights in prop::collection::vec(1_u32..9, 1..6)) {
            let mut bench = Bench::new(Scheduler::NeverQueue, &weights);
            let count = u32::try_from(weights.len()).unwrap();
            let counts = bench.counts(count);
            prop_assert!(counts.values().all(|count| *count == 1));
        }

        /// A client of `sh` comes to the same place however often it comes, and whatever others do.
        #[test]
        fn hashes_stick(weights in prop::collection::vec(0_u32..4, 1..6), others in 0_u32..20) {
            let bench = Bench::new(Scheduler::SourceHashing, &weights);
            let mut chooser = SeededChooser(Seed::new(1).split("unused"));
            let first = bench.choice().pick(&mut chooser);
            let mut later = Bench::new(Scheduler::SourceHashing, &weights);
            for _ in 0..others {
                later.connect();
            }
            later.clients = bench.clients;
            prop_assert_eq!(later.choice().pick(&mut chooser), first);
        }

        /// A probe sees whom some memory would choose, and nobody else.
        #[test]
        fn whoever_explores_sees_all_states(weights in prop::collection::vec(0_u32..4, 1..6)) {
            for scheduler in SHARING.into_iter().chain([Scheduler::NeverQueue]) {
                let bench = Bench::new(scheduler, &weights);
                let outcomes = explore(|chooser| bench.choice().pick(chooser).map(|pick| pick.real)).unwrap();
                let seen: Vec<Option<SocketAddr>> = outcomes.iter().map(|(_, real)| *real).collect();
                let mut expected: Vec<Option<SocketAddr>> = (0..).zip(&weights)
                    .filter(|(_, weight)| **weight > 0)
                    .map(|(number, _)| Some(real(number)))
                    .collect();
                if expected.is_empty() {
                    expected.push(None);
                }
                prop_assert_eq!(seen, expected);
            }
        }
    }

    #[test]
    fn a_destination_hash_is_blind_to_clients() {
        let mut bench = Bench::new(Scheduler::DestinationHashing, &[1, 1, 1]);
        assert_eq!(bench.counts(30).len(), 1);
    }

    /// The kernel's order for weights 4, 3, 2 (ip_vs_wrr.c).
    #[test]
    fn weighted_rounds_interleave() {
        let mut bench = Bench::new(Scheduler::WeightedRoundRobin, &[4, 3, 2]);
        let order: Vec<SocketAddr> = (0..9).map(|_| bench.connect().unwrap()).collect();
        let expected = [0, 0, 1, 0, 1, 2, 0, 1, 2].map(real);
        assert_eq!(order, expected);
    }

    #[test]
    fn nobody_is_chosen_where_nobody_has_weight() {
        for (scheduler, name) in Scheduler::NAMES {
            let mut bench = Bench::new(scheduler, &[0, 0]);
            assert_eq!(bench.connect(), None, "{name}");
        }
    }
}
