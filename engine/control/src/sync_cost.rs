//! How long a proxy's sync takes.
//!
//! Fitted to what was recorded of kube-proxy 1.36.2 on one node, with Services of five endpoints each: the first sync,
//! and the sync after one changed endpoint. A curve has straight lines between its points, and the last line goes on.
//!
//! | what | curve | against the recording |
//! |---|---|---|
//! | iptables 1.8.9, nft variant, full | the points at 100, 1,000 and 5,000 Services | within 1 % |
//! | the same, partial | one line | -8 % at 100, +27 % at 1,000, -1 % at 5,000 |
//! | iptables, legacy variant | the points at 5,000 and 10,000 | within 1 % |
//! | nftables (nft 1.0.6) | the points at 100, 1,000, 5,000 and 10,000 | within 1 % |
//! | flat | not recorded of a proxy | |
//! | ipvs | not measured at all | |
//!
//! What was recorded are single runs; one changed endpoint took up to 30 % less or more than the mean of its runs.
//!
//! Deviation: nothing was recorded below 100 Services, and of the legacy variant nothing below 5,000. The cost grows with
//! Services, not with endpoints. That 5,000 Services took the nft variant of iptables 172 s is that version's; where it
//! begins between 1,000 and 5,000 is not known.

use std::time::Duration;

use proxy::SyncKind;

use crate::{ProxyMode, SyncCost};

/// What a mode's syncs cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeCost {
    /// As recorded; of iptables in its nft variant.
    #[default]
    Recorded,
    /// As recorded of iptables in its legacy variant. Other modes have none.
    Legacy,
    /// By the user's own coefficients.
    Linear {
        /// Of a sync that writes everything.
        full: Line,
        /// Of any other.
        partial: Line,
    },
}

/// The costs of every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModeCosts {
    /// iptables
    pub iptables: ModeCost,
    /// nftables
    pub nftables: ModeCost,
    /// flat
    pub flat: ModeCost,
    /// ipvs
    pub ipvs: ModeCost,
}

/// A cost that grows evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Without any Service.
    pub base: Duration,
    /// For each Service.
    pub per_service: Duration,
}

/// Services and milliseconds, by rising Services.
type Points = [(u64, u64)];

const IPTABLES_FULL: &Points = &[(0, 30), (100, 190), (1_000, 1_630), (5_000, 172_040)];
const IPTABLES_PARTIAL: Line = Line {
    base: Duration::from_millis(50),
    per_service: Duration::from_micros(85),
};
const LEGACY_FULL: &Points = &[(0, 30), (5_000, 1_379), (10_000, 4_762)];
const LEGACY_PARTIAL: &Points = &[(0, 50), (5_000, 471), (10_000, 1_085)];
const NFT_FULL: &Points = &[
    (0, 50),
    (100, 84),
    (1_000, 351),
    (5_000, 6_460),
    (10_000, 44_238),
];
const NFT_PARTIAL: &Points = &[
    (0, 25),
    (100, 43),
    (1_000, 227),
    (5_000, 1_683),
    (10_000, 8_325),
];
/// Of the layout of our own no proxy has been recorded: what loading it took where the recordings were made, 0.8 s to
/// 1.2 s for 10,000 Services, and a few milliseconds for a change.
const FLAT_FULL: Line = Line {
    base: Duration::from_millis(5),
    per_service: Duration::from_micros(100),
};
const FLAT_PARTIAL: Line = Line {
    base: Duration::from_millis(5),
    per_service: Duration::ZERO,
};

/// Of IPVS mode nothing has been measured. These are guesses: a command per virtual server, real server, address and
/// entry when there was nothing, and few after a change.
const IPVS_FULL: Line = Line {
    base: Duration::from_millis(50),
    per_service: Duration::from_millis(1),
};
const IPVS_PARTIAL: Line = Line {
    base: Duration::from_millis(50),
    per_service: Duration::ZERO,
};

impl SyncCost {
    /// The duration of one sync of so many Services.
    #[must_use]
    pub fn of(self, mode: ProxyMode, kind: SyncKind, services: usize) -> Duration {
        let costs = match self {
            Self::Fixed(cost) => return cost,
            Self::Model => ModeCosts::default(),
            Self::ByMode(costs) => costs,
        };
        let cost = match mode {
            ProxyMode::Iptables => costs.iptables,
            ProxyMode::Nftables => costs.nftables,
            ProxyMode::Flat => costs.flat,
            ProxyMode::Ipvs => costs.ipvs,
        };
        let services = u32::try_from(services).unwrap_or(u32::MAX);
        match (cost, kind) {
            (ModeCost::Linear { full, .. }, SyncKind::Full) => full.at(services),
            (ModeCost::Linear { partial, .. }, SyncKind::Partial) => partial.at(services),
            (ModeCost::Recorded | ModeCost::Legacy, _) => {
                recorded(mode, cost == ModeCost::Legacy, kind, services)
            }
        }
    }
}

fn recorded(mode: ProxyMode, is_legacy: bool, kind: SyncKind, services: u32) -> Duration {
    match (mode, kind) {
        (ProxyMode::Iptables, SyncKind::Full) if is_legacy => interpolate(LEGACY_FULL, services),
        (ProxyMode::Iptables, SyncKind::Partial) if is_legacy => {
            interpolate(LEGACY_PARTIAL, services)
        }
        (ProxyMode::Iptables, SyncKind::Full) => interpolate(IPTABLES_FULL, services),
        (ProxyMode::Iptables, SyncKind::Partial) => IPTABLES_PARTIAL.at(services),
        (ProxyMode::Nftables, SyncKind::Full) => interpolate(NFT_FULL, services),
        (ProxyMode::Nftables, SyncKind::Partial) => interpolate(NFT_PARTIAL, services),
        (ProxyMode::Ipvs, SyncKind::Full) => IPVS_FULL.at(services),
        (ProxyMode::Ipvs, SyncKind::Partial) => IPVS_PARTIAL.at(services),
        (ProxyMode::Flat, SyncKind::Full) => FLAT_FULL.at(services),
        (ProxyMode::Flat, SyncKind::Partial) => FLAT_PARTIAL.at(services),
    }
}

impl Line {
    fn at(self, services: u32) -> Duration {
        self.base
            .saturating_add(self.per_service.saturating_mul(services))
    }
}

/// The value on the line through the points around a number of Services, in whole microseconds; the last line goes on.
fn interpolate(points: &Points, services: u32) -> Duration {
    let count = u64::from(services);
    let after = points.iter().position(|(services, _)| *services > count);
    let index = after.unwrap_or(points.len() - 1).max(1);
    let ((from, low), (to, high)) = (points[index - 1], points[index]);
    let rise = (high - low) * 1_000 * (count - from) / (to - from);
    Duration::from_micros(low * 1_000 + rise)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: SyncCost = SyncCost::ByMode(ModeCosts {
        iptables: ModeCost::Legacy,
        nftables: ModeCost::Recorded,
        flat: ModeCost::Recorded,
        ipvs: ModeCost::Recorded,
    });

    /// Every recorded row: Services, seconds of the full and of the incremental sync, and by how many percent the model
    /// may miss each.
    #[test]
    fn the_model_meets_every_recorded_point() {
        let rows = [
            (
                SyncCost::Model,
                ProxyMode::Iptables,
                100,
                0.190_814,
                1,
                0.064,
                9,
            ),
            (
                SyncCost::Model,
                ProxyMode::Iptables,
                1_000,
                1.625_092,
                1,
                0.106,
                28,
            ),
            (
                SyncCost::Model,
                ProxyMode::Iptables,
                5_000,
                172.041_887,
                1,
                0.480,
                2,
            ),
            (LEGACY, ProxyMode::Iptables, 5_000, 1.378_778, 1, 0.471, 1),
            (LEGACY, ProxyMode::Iptables, 10_000, 4.761_825, 1, 1.085, 1),
            (
                SyncCost::Model,
                ProxyMode::Nftables,
                100,
                0.083_850,
                1,
                0.043,
                1,
            ),
            (
                SyncCost::Model,
                ProxyMode::Nftables,
                1_000,
                0.351_031,
                1,
                0.227,
                1,
            ),
            (
                SyncCost::Model,
                ProxyMode::Nftables,
                5_000,
                6.459_835,
                1,
                1.683,
                1,
            ),
            (
                SyncCost::Model,
                ProxyMode::Nftables,
                10_000,
                44.238_356,
                1,
                8.325,
                1,
            ),
        ];
        for (cost, mode, services, full, full_percent, partial, partial_percent) in rows {
            let kinds = [
                (SyncKind::Full, full, full_percent),
                (SyncKind::Partial, partial, partial_percent),
            ];
            for (kind, recorded, percent) in kinds {
                let modelled = cost.of(mode, kind, services).as_secs_f64();
                let error = (modelled - recorded).abs() / recorded;
                assert!(
                    error <= f64::from(percent) / 100.0,
                    "{mode}, {services} Services, {kind:?}: {modelled} s, recorded {recorded} s"
                );
            }
        }
    }

    #[test]
    fn lines_join_the_points_and_the_last_one_goes_on() {
        let check = |services, millis| {
            let cost = SyncCost::Model.of(ProxyMode::Nftables, SyncKind::Partial, services);
            assert_eq!(cost, Duration::from_millis(millis));
        };
        check(3_000, 955);
        check(10_000, 8_325);
        check(15_000, 14_967);
    }

    #[test]
    fn coefficients_may_be_the_users_own() {
        let line = |base, per_service| Line {
            base: Duration::from_millis(base),
            per_service: Duration::from_millis(per_service),
        };
        let cost = SyncCost::ByMode(ModeCosts {
            flat: ModeCost::Linear {
                full: line(10, 2),
                partial: line(1, 0),
            },
            ..ModeCosts::default()
        });
        let check = |mode, kind, millis| {
            assert_eq!(cost.of(mode, kind, 100), Duration::from_millis(millis));
        };
        check(ProxyMode::Flat, SyncKind::Full, 210);
        check(ProxyMode::Flat, SyncKind::Partial, 1);
        check(ProxyMode::Nftables, SyncKind::Full, 84);
    }
}
