//! Tables of other projects' tests, restated as scenarios: every row of them holds, in every mode. So does what any
//! conformant cluster must show.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{root, switchboard};

/// Every scenario of a folder passes; there are at least `least` of them.
fn check(folder: &str, least: usize) {
    let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
    let files = entries.map(|entry| entry.expect("a file").path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    files.sort();
    assert!(files.len() >= least, "too few of them: {}", files.len());
    let paths: Vec<&str> = files.iter().filter_map(|path| path.to_str()).collect();
    let output = switchboard(&root(), &[&["run"][..], &paths].concat());
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
}

#[test]
fn kube_proxy_says_the_same() {
    check("scenarios/kube-proxy", 51);
}

#[test]
fn a_conformant_cluster_shows_this_in_every_mode() {
    check("scenarios/conformance", 14);
}
