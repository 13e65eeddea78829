//! How long a proxy's sync takes.
//!
//! Fitted to what was recorded of kube-proxy 1.36.2, one node, Services of five endpoints each.
//! iptables (1.8.9, nft variant): first sync 0.19 s at 100 Services and 1.63 s at 1,000; one changed endpoint
//! 0.064 s, 0.106 s and 0.480 s at 100, 1,000 and 5,000. Two straight lines give 0.19, 1.63 and 0.059, 0.135,
//! 0.475 s. nftables (nft 1.0.6): the recorded points, with straight lines between them and beyond.
//!
//! Deviation: the first iptables sync of 5,000 Services took 172 s in the nft variant and 1.4 s in the legacy one;
//! the line gives 8 s. The cost grows with Services, not with endpoints.

use std::time::Duration;

use proxy::SyncKind;

use crate::{ProxyMode, SyncCost};

const FULL_BASE: Duration = Duration::from_millis(30);
const FULL_PER_SERVICE: Duration = Duration::from_micros(1_600);
const PARTIAL_BASE: Duration = Duration::from_millis(50);
const PARTIAL_PER_SERVICE: Duration = Duration::from_micros(85);

/// Services and milliseconds of a first sync; nothing was recorded below 100 Services.
const NFT_FULL: [(u64, u64); 5] = [
    (0, 50),
    (100, 80),
    (1_000, 350),
    (5_000, 6_460),
    (10_000, 44_240),
];
/// Services and milliseconds after one change.
const NFT_PARTIAL: [(u64, u64); 5] = [
    (0, 25),
    (100, 43),
    (1_000, 227),
    (5_000, 1_683),
    (10_000, 8_325),
];

/// Of the layout of our own no proxy has been recorded: what loading it took where the recordings were made, 0.8 s to
/// 1.2 s for 10,000 Services, and a few milliseconds for a change.
const FLAT_BASE: Duration = Duration::from_millis(5);
const FLAT_PER_SERVICE: Duration = Duration::from_micros(100);

/// Of IPVS mode nothing has been measured. These are guesses: a command per virtual server, real server, address and
/// entry when there was nothing, and few after a change.
const IPVS_BASE: Duration = Duration::from_millis(50);
const IPVS_PER_SERVICE: Duration = Duration::from_millis(1);

impl SyncCost {
    /// The duration of one sync of so many Services.
    #[must_use]
    pub fn of(self, mode: ProxyMode, kind: SyncKind, services: usize) -> Duration {
        let count = u32::try_from(services).unwrap_or(u32::MAX);
        match (self, mode, kind) {
            (Self::Fixed(cost), _, _) => cost,
            (Self::Model, ProxyMode::Iptables, SyncKind::Full) => {
                FULL_BASE + FULL_PER_SERVICE * count
            }
            (Self::Model, ProxyMode::Iptables, SyncKind::Partial) => {
                PARTIAL_BASE + PARTIAL_PER_SERVICE * count
            }
            (Self::Model, ProxyMode::Nftables, SyncKind::Full) => interpolate(&NFT_FULL, count),
            (Self::Model, ProxyMode::Nftables, SyncKind::Partial) => {
                interpolate(&NFT_PARTIAL, count)
            }
            (Self::Model, ProxyMode::Ipvs, SyncKind::Full) => IPVS_BASE + IPVS_PER_SERVICE * count,
            (Self::Model, ProxyMode::Ipvs, SyncKind::Partial) => IPVS_BASE,
            (Self::Model, ProxyMode::Flat, SyncKind::Full) => FLAT_BASE + FLAT_PER_SERVICE * count,
            (Self::Model, ProxyMode::Flat, SyncKind::Partial) => FLAT_BASE,
        }
    }
}

/// The value at `count` on the line through the points around it, in whole microseconds; the last line goes on.
fn interpolate(points: &[(u64, u64)], count: u32) -> Duration {
    let count = u64::from(count);
    let after = points.iter().position(|(services, _)| *services > count);
    let index = after.unwrap_or(points.len() - 1).max(1);
    let ((from, low), (to, high)) = (points[index - 1], points[index]);
    let rise = (high - low) * 1_000 * (count - from) / (to - from);
    Duration::from_micros(low * 1_000 + rise)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mode: ProxyMode, kind: SyncKind, services: usize, recorded: f64, tolerance: f64) {
        let modelled = SyncCost::Model.of(mode, kind, services).as_secs_f64();
        let error = (modelled - recorded).abs() / recorded;
        assert!(
            error <= tolerance,
            "{services} Services: {modelled} s, recorded {recorded} s"
        );
    }

    #[test]
    fn the_lines_meet_the_recording() {
        let check = |kind, services, recorded, tolerance| {
            check(ProxyMode::Iptables, kind, services, recorded, tolerance);
        };
        check(SyncKind::Full, 100, 0.19, 0.05);
        check(SyncKind::Full, 1000, 1.63, 0.05);
        check(SyncKind::Partial, 100, 0.064, 0.10);
        check(SyncKind::Partial, 1000, 0.106, 0.30);
        check(SyncKind::Partial, 5000, 0.480, 0.05);
    }

    #[test]
    fn the_points_are_met_and_the_last_line_goes_on() {
        let check = |kind, services, recorded| {
            check(ProxyMode::Nftables, kind, services, recorded, 0.001);
        };
        check(SyncKind::Full, 1000, 0.35);
        check(SyncKind::Partial, 3000, 0.955);
        check(SyncKind::Partial, 10_000, 8.325);
        check(SyncKind::Partial, 15_000, 14.967);
    }
}
