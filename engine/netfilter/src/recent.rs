//! Lists of addresses seen recently: what `-m recent` asks and changes.
//!
//! **What.** A [`RecentLists`] holds, by name, when addresses were last seen. **Why.** kube-proxy's iptables mode
//! keeps session affinity in them (PROXY-32). **Source of the semantics.** Linux `net/netfilter/xt_recent.c`:
//! `recent_mt`, `recent_entry_init`, `recent_entry_reap`, and its module parameter `ip_list_tot`.

use std::net::IpAddr;
use std::num::NonZeroU32;

use base::SimTime;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ruleset::xt::RecentWindow;

/// How many addresses a list remembers; the one that was not seen for longest makes room (`ip_list_tot`).
const ADDRESSES_MAX: usize = 100;

/// All lists of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentLists {
    /// Never iterated.
    lists: HashMap<Box<str>, RecentList, FixedState>,
}

/// One list, the address that was not seen for longest first.
#[derive(Clone, Debug, Default)]
struct RecentList(Vec<Seen>);

#[derive(Clone, Debug)]
struct Seen {
    address: IpAddr,
    /// Oldest first.
    stamps: Vec<SimTime>,
}

/// A change to a list, that an evaluation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecentChange {
    pub(crate) list: Box<str>,
    pub(crate) address: IpAddr,
    pub(crate) action: RecentUpdate,
}

/// What happens to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecentUpdate {
    /// Seen now; so many of its last times are remembered.
    Touch { at: SimTime, keep: u32 },
    /// Taken off the list.
    Remove,
    /// The list's oldest address goes, if it was last seen before this. It stays when it is the one in question
    /// and that is about to be renewed.
    Reap { before: SimTime, renewed: bool },
}

impl RecentLists {
    /// Whether no address was ever listed.
    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Whether an address is listed and, given a window that ends now, seen often enough in it.
    pub(crate) fn is_listed(
        &self,
        list: &str,
        address: IpAddr,
        window: RecentWindow,
        now: SimTime,
    ) -> bool {
        let Some(seen) = self.stamps(list, address) else {
            return false;
        };
        let start = window_start(window, now);
        let hits = seen.iter().filter(|stamp| **stamp >= start).count();
        let needed = window.hit_count.map_or(1, NonZeroU32::get);
        u32::try_from(hits).is_ok_and(|hits| hits >= needed)
    }

    /// When an address was seen, oldest first; `None` when it is not listed.
    pub(crate) fn stamps(&self, list: &str, address: IpAddr) -> Option<&[SimTime]> {
        let entries = &self.lists.get(list)?.0;
        let seen = entries.iter().find(|seen| seen.address == address)?;
        Some(&seen.stamps)
    }

    /// A list's addresses and when each was last seen, the one not seen for longest first.
    pub(crate) fn addresses(&self, list: &str) -> impl Iterator<Item = (IpAddr, SimTime)> {
        let entries = self.lists.get(list).map_or(&[][..], |list| &list.0);
        entries
            .iter()
            .filter_map(|seen| Some((seen.address, *seen.stamps.last()?)))
    }

    pub(crate) fn apply(&mut self, change: RecentChange) {
        let RecentChange {
            list,
            address,
            action,
        } = change;
        let RecentList(entries) = self.lists.entry(list).or_default();
        let place = entries.iter().position(|seen| seen.address == address);
        match action {
            RecentUpdate::Touch { at, keep } => {
                let mut seen = match place {
                    Some(place) => entries.remove(place),
                    None => Seen {
                        address,
                        stamps: Vec::with_capacity(1),
                    },
                };
                if entries.len() >= ADDRESSES_MAX {
                    entries.remove(0);
                }
                let keep = usize::try_from(keep).unwrap_or(usize::MAX).max(1);
                let excess = (seen.stamps.len() + 1).saturating_sub(keep);
                seen.stamps.drain(..excess);
                seen.stamps.push(at);
                entries.push(seen);
            }
            RecentUpdate::Remove => {
                if let Some(place) = place {
                    entries.remove(place);
                }
            }
            RecentUpdate::Reap { before, renewed } => {
                let is_old = |seen: &Seen| seen.stamps.last().is_some_and(|last| *last < before);
                let oldest = entries.first();
                if oldest.is_some_and(|seen| is_old(seen) && !(renewed && seen.address == address))
                {
                    entries.remove(0);
                }
            }
        }
    }

    /// Keeps the lists that a predicate picks.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.lists.retain(|name, _| keep(name));
    }
}

/// The first instant that a window counts.
pub(crate) fn window_start(window: RecentWindow, now: SimTime) -> SimTime {
    window.seconds.map_or(SimTime::ZERO, |seconds| {
        let span = u64::from(seconds.get()).saturating_mul(1_000_000_000);
        SimTime::from_nanos(now.as_nanos().saturating_sub(span))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + Duration::from_secs(seconds)
    }

    fn apply(lists: &mut RecentLists, number: u8, action: RecentUpdate) {
        lists.apply(RecentChange {
            list: "LIST".into(),
            address: address(number),
            action,
        });
    }

    fn touch(lists: &mut RecentLists, number: u8, seconds: u64) {
        let touched = RecentUpdate::Touch {
            at: at(seconds),
            keep: 3,
        };
        apply(lists, number, touched);
    }

    fn window(seconds: Option<u32>, hits: Option<u32>) -> RecentWindow {
        RecentWindow {
            seconds: seconds.and_then(NonZeroU32::new),
            reap: false,
            hit_count: hits.and_then(NonZeroU32::new),
        }
    }

    #[test]
    fn an_address_is_listed_for_its_window() {
        let mut lists = RecentLists::default();
        touch(&mut lists, 1, 100);
        let listed = |window, now| lists.is_listed("LIST", address(1), window, at(now));
        assert!(listed(window(Some(10), None), 110));
        assert!(!listed(window(Some(10), None), 111));
        assert!(listed(window(None, None), 100_000));
        assert!(!listed(window(None, Some(2)), 100));
        assert!(!lists.is_listed("LIST", address(2), window(None, None), at(100)));
        assert!(!lists.is_listed("OTHER", address(1), window(None, None), at(100)));
    }

    #[test]
    fn hits_count_within_the_window() {
        let mut lists = RecentLists::default();
        for seconds in [1, 2, 3, 4] {
            touch(&mut lists, 1, seconds);
        }
        assert_eq!(lists.stamps("LIST", address(1)).unwrap().len(), 3);
        assert!(lists.is_listed("LIST", address(1), window(Some(10), Some(3)), at(4)));
        assert!(!lists.is_listed("LIST", address(1), window(Some(1), Some(3)), at(4)));
    }

    #[test]
    fn a_full_list_forgets_who_was_not_seen_for_longest() {
        let mut lists = RecentLists::default();
        for number in 0..100 {
            touch(&mut lists, number, u64::from(number));
        }
        touch(&mut lists, 0, 200);
        touch(&mut lists, 100, 201);
        let order: Vec<_> = lists
            .addresses("LIST")
            .map(|(address, _)| address)
            .collect();
        assert_eq!(order.len(), 100);
        assert_eq!(order[0], address(2));
        assert_eq!(order[98..], [address(0), address(100)]);
    }

    #[test]
    fn reaping_takes_one_old_address() {
        let mut lists = RecentLists::default();
        touch(&mut lists, 1, 1);
        touch(&mut lists, 2, 2);
        let reap = |before, renewed| RecentUpdate::Reap {
            before: at(before),
            renewed,
        };
        apply(&mut lists, 1, reap(10, true));
        assert_eq!(lists.addresses("LIST").count(), 2);
        apply(&mut lists, 2, reap(10, true));
        assert!(lists.addresses("LIST").eq([(address(2), at(2))]));
        apply(&mut lists, 2, reap(2, false));
        assert_eq!(lists.addresses("LIST").count(), 1);
    }
}
