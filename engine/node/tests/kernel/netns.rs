//! A network namespace for one test, and when to do without.

use std::process::Command;

/// Removed when the test is over, also by a panic.
pub(crate) struct Netns {
    name: String,
}

impl Netns {
    /// A namespace of its own; `None`, with the reason printed, where this process may not make one.
    ///
    /// # Panics
    /// When it cannot be made in CI: a test that did not run must not look like one that passed there.
    pub(crate) fn create(label: &str) -> Option<Self> {
        let name = format!("sb-test-{}-{label}", std::process::id());
        let problem = match Command::new("ip").args(["netns", "add", &name]).output() {
            Ok(output) if output.status.success() => return Some(Self { name }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("ip: {error}"),
        };
        skip(&format!("no network namespace: {problem}"));
        None
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let deleted = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
        if !deleted.is_ok_and(|status| status.success()) {
            eprintln!("network namespace {} is left behind", self.name);
        }
    }
}

/// Says why a test does nothing.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "must run in CI: {reason}");
    eprintln!("skipped: {reason}");
}
