//! How long a container that ends again and again is left alone: `CrashLoopBackOff`.
//!
//! **Source of the semantics.** S: `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (doBackOff), `pkg/kubelet/kubelet.go`
//! (`MaxContainerBackOff`, initialBackOff), `client-go/util/flowcontrol/backoff.go`.

use std::time::Duration;

use base::SimTime;

const FIRST: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(300);
/// After so long without a start all is forgotten.
const MEMORY: Duration = MAX.saturating_mul(2);

/// What a kubelet remembers of the starts of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    /// What the next end has to wait, and when that was set: at the last start.
    pub(super) next: Option<(Duration, SimTime)>,
}

impl Backoff {
    /// How long after its end a container that ended at `finished` is to wait. The first time it does not.
    pub(super) fn after(&mut self, finished: SimTime) -> Duration {
        let known = self.next.filter(|(_, set)| finished.since(*set) <= MEMORY);
        let (wait, next) = match known {
            None => (Duration::ZERO, FIRST),
            Some((wait, _)) => (wait, MAX.min(wait * 2)),
        };
        self.next = Some((next, finished + wait));
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_are_forgotten_after_ten() {
        let mut backoff = Backoff::default();
        let mut now = SimTime::ZERO;
        let mut waits = Vec::new();
        for lives in [5, 5, 5, 5, 5, 5, 5, 5, 600, 601, 5] {
            now += Duration::from_secs(lives);
            let wait = backoff.after(now);
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300, 0, 10]);
    }
}
