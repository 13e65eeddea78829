//! Destinations that take smaller packets than the host's own link.
//!
//! **What.** [`Paths`] remembers what ICMP errors said, and holds an interface for each smaller size. **Why** an
//! interface for each: smoltcp cuts its segments by the interface's size, which never changes. **Source of the
//! semantics.** RFC 1191, RFC 8201; `net.ipv4.route.mtu_expires`.
//!
//! Deviation: Linux sends again at once what did not fit; smoltcp when its retransmission timer fires.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base::SimTime;
use smoltcp::iface::Interface;

use super::wire::Wire;

/// `net.ipv4.route.mtu_expires`.
const EXPIRES: Duration = Duration::from_secs(600);
/// The least that IPv6 links carry, and more than `net.ipv4.route.min_pmtu`: no link of a plane carries less.
const LEAST: usize = 1280;

/// What is known of paths.
pub(super) struct Paths {
    random_seed: u64,
    known: BTreeMap<IpAddr, Path>,
    /// By size.
    interfaces: BTreeMap<usize, Interface>,
}

#[derive(Clone, Copy)]
struct Path {
    mtu: usize,
    until: SimTime,
}

impl Paths {
    pub(super) const fn new(random_seed: u64) -> Self {
        Self {
            random_seed,
            known: BTreeMap::new(),
            interfaces: BTreeMap::new(),
        }
    }

    /// A router says how much it can send on. What is no news, given what the host's own link carries, is ignored.
    pub(super) fn narrow(&mut self, now: SimTime, to: IpAddr, mtu: usize, own: usize) {
        self.known.retain(|_, path| path.until > now);
        let mtu = mtu.max(LEAST);
        if mtu >= self.mtu(now, to).unwrap_or(own) {
            return;
        }
        let until = now + EXPIRES;
        self.known.insert(to, Path { mtu, until });
        let random_seed = self.random_seed;
        self.interfaces
            .entry(mtu)
            .or_insert_with(|| Wire::new(mtu).interface(random_seed));
    }

    /// The largest packet to a destination, where it is smaller than usual.
    pub(super) fn mtu(&self, now: SimTime, to: IpAddr) -> Option<usize> {
        let path = self.known.get(&to).filter(|path| path.until > now)?;
        Some(path.mtu)
    }

    /// The interface for packets to a destination, where it is not the usual one.
    pub(super) fn interface(&mut self, now: SimTime, to: IpAddr) -> Option<&mut Interface> {
        if self.known.is_empty() {
            return None;
        }
        let mtu = self.mtu(now, to)?;
        self.interfaces.get_mut(&mtu)
    }
}
