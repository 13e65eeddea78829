//! How long a proxy's sync takes.
//!
//! Fitted to what was recorded of kube-proxy 1.36.2 with iptables 1.8.9 (nft variant), one node, Services of five
//! endpoints: first sync 0.19 s at 100 Services and 1.63 s at 1,000; one changed endpoint 0.064 s, 0.106 s and
//! 0.480 s at 100, 1,000 and 5,000. Two straight lines give 0.19, 1.63 and 0.059, 0.135, 0.475 s.
//!
//! Deviation: the first sync of 5,000 Services took 172 s in that variant and 1.4 s in the legacy one; the line
//! gives 8 s. The cost grows with Services, not with endpoints.

use std::time::Duration;

use proxy::SyncKind;

use crate::SyncCost;

const FULL_BASE: Duration = Duration::from_millis(30);
const FULL_PER_SERVICE: Duration = Duration::from_micros(1_600);
const PARTIAL_BASE: Duration = Duration::from_millis(50);
const PARTIAL_PER_SERVICE: Duration = Duration::from_micros(85);

impl SyncCost {
    /// The duration of one sync of so many Services.
    #[must_use]
    pub fn of(self, kind: SyncKind, services: usize) -> Duration {
        let services = u32::try_from(services).unwrap_or(u32::MAX);
        match (self, kind) {
            (Self::Fixed(cost), _) => cost,
            (Self::Model, SyncKind::Full) => FULL_BASE + FULL_PER_SERVICE * services,
            (Self::Model, SyncKind::Partial) => PARTIAL_BASE + PARTIAL_PER_SERVICE * services,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: SyncKind, services: usize, recorded: f64, tolerance: f64) {
        let modelled = SyncCost::Model.of(kind, services).as_secs_f64();
        let error = (modelled - recorded).abs() / recorded;
        assert!(
            error <= tolerance,
            "{services} Services: {modelled} s, recorded {recorded} s"
        );
    }

    #[test]
    fn the_lines_meet_the_recording() {
        check(SyncKind::Full, 100, 0.19, 0.05);
        check(SyncKind::Full, 1000, 1.63, 0.05);
        check(SyncKind::Partial, 100, 0.064, 0.10);
        check(SyncKind::Partial, 1000, 0.106, 0.30);
        check(SyncKind::Partial, 5000, 0.480, 0.05);
    }
}
