//! How far a long run has come, for whoever waits at a terminal.
//!
//! It is written to standard error and wiped out before anything else is: nothing of it is left, and files and pipes
//! never see it.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use base::SimTime;
use node::WallClock;

/// What is over by then needs no bar.
const PATIENCE: Duration = Duration::from_millis(500);
/// Characters of the bar.
const WIDTH: usize = 30;

/// A bar that grows with every task done.
#[derive(Debug)]
pub(crate) struct Progress {
    total: usize,
    done: usize,
    clock: WallClock,
    begun: SimTime,
    is_shown: bool,
    is_wanted: bool,
}

impl Progress {
    /// Of that many tasks; none is done yet.
    pub(crate) fn of(total: usize) -> Self {
        let clock = WallClock::start();
        Self {
            total,
            done: 0,
            begun: clock.now(),
            clock,
            is_shown: false,
            is_wanted: io::stderr().is_terminal(),
        }
    }

    /// One more is done.
    pub(crate) fn advance(&mut self) {
        self.done += 1;
        let is_long = self.clock.now() - self.begun >= PATIENCE;
        if self.is_wanted && is_long && self.done < self.total {
            self.write(&bar(self.done, self.total));
            self.is_shown = true;
        }
    }

    /// Takes the bar away, for something else to be printed.
    pub(crate) fn wipe(&mut self) {
        if self.is_shown {
            self.write("");
            self.is_shown = false;
        }
    }

    fn write(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r\u{1b}[K{text}").and_then(|()| stderr.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn bar(done: usize, total: usize) -> String {
    let full = done * WIDTH / total.max(1);
    format!(
        "{}{} {done} of {total} runs",
        "█".repeat(full),
        "░".repeat(WIDTH - full)
    )
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_has_one_width() {
        assert_eq!(bar(0, 3), format!("{} 0 of 3 runs", "░".repeat(30)));
        let third = format!("{}{} 1 of 3 runs", "█".repeat(10), "░".repeat(20));
        assert_eq!(bar(1, 3), third);
        assert_eq!(bar(3, 3), format!("{} 3 of 3 runs", "█".repeat(30)));
    }
}
