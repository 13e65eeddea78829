//! Running the built command as a user would.

#[allow(dead_code, reason = "not every test file is about labs")]
pub(crate) mod lab;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The top of the repository.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("it exists")
}

/// Runs the command in a folder.
#[allow(dead_code, reason = "not every test file runs it to its end")]
pub(crate) fn switchboard(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(args).current_dir(folder).env("NO_COLOR", "1");
    command
        .output()
        .expect("the command was built for this test")
}

/// Runs the command in a folder with a text on its standard input.
#[allow(dead_code, reason = "not every test file has something to say")]
pub(crate) fn with_input(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command was built for this test");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that has seen enough ends before it has read all.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// What a run printed for its user.
#[allow(dead_code, reason = "not every test file reads what was printed")]
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("we print UTF-8")
}

/// What a run complained of.
#[allow(dead_code, reason = "not every test file looks at errors")]
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("we print UTF-8")
}

/// A complaint in one line: they are wrapped to the width of a page.
#[allow(dead_code, reason = "not every test reads complaints")]
pub(crate) fn unbroken(complaint: &str) -> String {
    let words = complaint.split_whitespace().filter(|word| *word != "│");
    words.collect::<Vec<_>>().join(" ")
}

/// A folder of this test's own, empty, under the build's temporary folder.
#[allow(dead_code, reason = "not every test file writes")]
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the build's folder can be written");
    folder
}
