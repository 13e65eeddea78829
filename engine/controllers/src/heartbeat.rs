//! When kubelets tell that they live.
//!
//! **Source of the semantics.** S: `pkg/kubelet/apis/config/v1beta1/defaults.go` (nodeStatusUpdateFrequency, and a quarter of
//! nodeLeaseDurationSeconds: both 10 s).
//!
//! Deviation: a heartbeat is no write, for a cluster at rest would be busy with nothing else: who waits for them is told
//! when they cease, and when they begin again. Those of all nodes fall on the same instants, the multiples of 10 s.

use std::time::Duration;

use base::SimTime;

const PERIOD: Duration = Duration::from_secs(10);

/// The last heartbeat up to `now`.
pub(crate) fn last_up_to(now: SimTime) -> SimTime {
    aligned_down(now, PERIOD)
}

/// The first heartbeat from `now` on.
pub(crate) fn next_from(now: SimTime) -> SimTime {
    let last = last_up_to(now);
    if last == now { now } else { last + PERIOD }
}

/// The last multiple of a period up to `now`.
pub(crate) fn aligned_down(now: SimTime, period: Duration) -> SimTime {
    let rest = u128::from(now.as_nanos()) % period.as_nanos();
    let rest = u64::try_from(rest).expect("less than an instant");
    SimTime::from_nanos(now.as_nanos() - rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_come_every_ten_seconds() {
        let at = |millis: u64| SimTime::ZERO + Duration::from_millis(millis);
        for (now, last, next) in [
            (0, 0, 0),
            (1, 0, 10_000),
            (10_000, 10_000, 10_000),
            (19_999, 10_000, 20_000),
        ] {
            assert_eq!(
                (last_up_to(at(now)), next_from(at(now))),
                (at(last), at(next)),
                "{now} ms"
            );
        }
    }
}
