//! Tables of other projects' tests, restated as scenarios: every row of them holds, in every mode.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{root, switchboard};

const FOLDER: &str = "scenarios/kube-proxy";

#[test]
fn kube_proxy_says_the_same() {
    let files = fs::read_dir(root().join(FOLDER)).expect("the folder is there");
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() > 50, "too few tables: {}", files.len());
    let paths: Vec<&str> = files.iter().filter_map(|path| path.to_str()).collect();
    let output = switchboard(&root(), &[&["run"][..], &paths].concat());
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
}
