//! A network namespace for one test, and when to do without.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Once;

/// Names begin so, then come the process and a label.
const PREFIX: &str = "sb-test-";

/// Removed when the test is over, also by a panic. What a process leaves behind that is killed, the next one
/// removes.
pub(crate) struct Netns {
    name: String,
}

impl Netns {
    /// A namespace of its own; `None`, with the reason printed, where this process may not make one.
    ///
    /// # Panics
    /// When it cannot be made in CI: a test that did not run must not look like one that passed there.
    pub(crate) fn create(label: &str) -> Option<Self> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let name = format!("{PREFIX}{}-{label}", std::process::id());
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

    /// What `nft` prints in here; it must not fail.
    pub(crate) fn nft(&self, arguments: &[&str]) -> String {
        let mut command = self.command(Path::new("nft"));
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command that runs a program in here, with a lock file of its own for iptables: the usual one is the
    /// whole machine's. It is killed after two minutes.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]);
        command
            .args(["timeout", "--kill-after=1", "120"])
            .arg(program);
        command.env("XTABLES_LOCKFILE", format!("/run/{}.lock", self.name));
        command
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if !delete(&self.name) {
            eprintln!("network namespace {} is left behind", self.name);
        }
    }
}

/// Removes what processes left behind that are no more.
fn sweep() {
    let list = Command::new("ip").args(["netns", "list"]).output();
    let Ok(Output { stdout, .. }) = list else {
        return;
    };
    for name in String::from_utf8_lossy(&stdout)
        .lines()
        .filter_map(|line| line.split(' ').next())
    {
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next())
            .and_then(|process| process.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            delete(name);
        }
    }
}

fn delete(name: &str) -> bool {
    // There is none when no tool has locked it.
    drop(std::fs::remove_file(format!("/run/{name}.lock")));
    let deleted = Command::new("ip").args(["netns", "delete", name]).status();
    deleted.is_ok_and(|status| status.success())
}

/// Says why a test does nothing.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "must run in CI: {reason}");
    eprintln!("skipped: {reason}");
}
