//! The clock on the wall, as an instant of the simulator's kind.

use std::time::{Duration, Instant, SystemTime};

use api::EPOCH_UNIX_SECONDS;
use base::SimTime;

/// Tells the time since the simulator's epoch. It never goes back: it looks at the machine's calendar once.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    started: Instant,
    started_at: SimTime,
}

impl WallClock {
    /// A clock that is right at this instant.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "a real node's time is the machine's"
    )]
    pub fn start() -> Self {
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_UNIX_SECONDS);
        // On a machine whose calendar is wrong by years, rules matter more than dates.
        let since = SystemTime::now().duration_since(epoch).unwrap_or_default();
        Self {
            started: Instant::now(),
            started_at: SimTime::ZERO + since,
        }
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> SimTime {
        self.started_at + self.started.elapsed()
    }
}
