//! What is printed is taken by nft and iptables-restore themselves, and comes back from a kernel as it was.
//!
//! Needs the tools and the right to make a network namespace; without them the reason is printed and nothing is
//! tested, unless the environment says `CI`: there it is a failure.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use switchboard_ruleset::Family;
use switchboard_ruleset::nft::{self, NftTables};
use switchboard_ruleset::xt::{self, XtChain, XtMatch, XtTables};

/// Runs a shell command in a network namespace of its own, with a text as input.
fn in_namespace(command: &str, input: &str) -> Result<String, String> {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("unshare: {error}"))?;
    // A tool that stops early closes its end; its message says why.
    let _ = child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(input.as_bytes());
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Whether the tests of a tool can run here.
fn can_run(probe: &str) -> bool {
    match in_namespace(probe, "") {
        Ok(_) => true,
        Err(reason) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "`{probe}` cannot be run: {reason}"
            );
            eprintln!("skipped, `{probe}` cannot be run: {reason}");
            false
        }
    }
}

/// Loading what is there already has to work, too.
const LOAD_TWICE: &str = "file=$(mktemp) && cat > $file \
    && nft -f $file && nft -f $file && rm $file && nft list ruleset";

/// Recorded dumps of these names, and listings beside the tests.
fn texts(names: &[&str], listed: &[&str]) -> Vec<PathBuf> {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = fs::read_dir(crate_root.join("../rules/tests/recorded")).expect("recorded cases");
    let mut files: Vec<_> = cases
        .map(|case| case.expect("a readable directory").path())
        .flat_map(|case| names.iter().map(move |name| case.join(name)))
        .filter(|file| file.exists())
        .collect();
    files.sort();
    assert!(files.len() > 20, "there are recorded cases");
    files.extend(
        listed
            .iter()
            .map(|name| crate_root.join("tests/listed").join(name)),
    );
    files
}

fn tables(file: &Path) -> NftTables {
    let text = fs::read_to_string(file).expect("a readable file");
    nft::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn nft_scripts_are_taken_twice_and_come_back_as_they_were() {
    if !can_run("nft list ruleset") {
        return;
    }
    for file in texts(&["nft-ip.txt", "nft-ip6.txt"], &["ip.nft", "inet.nft"]) {
        let sent = tables(&file);
        let script = nft::script_text(&sent);
        let checked = in_namespace("nft -c -f -", &script);
        checked.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let listed = in_namespace(LOAD_TWICE, &script);
        let listed = listed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let read =
            nft::parse(&listed).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(read.canonical(), sent.canonical(), "{}", file.display());
    }
}

/// Takes `nfacct` matches out: they need objects that another tool makes, and a kernel that has them.
fn drop_accounting(tables: &mut XtTables) {
    for table in tables.tables.values_mut() {
        let chains = table.chains.iter().map(|(name, chain)| {
            let mut chain = XtChain::clone(chain);
            for rule in &mut chain.rules {
                rule.matches
                    .retain(|one| !matches!(one, XtMatch::NfAcct(_)));
            }
            (*name, Arc::new(chain))
        });
        table.chains = chains.collect();
    }
}

/// Both spellings, each into a namespace of its own.
#[test]
fn iptables_dumps_are_taken_and_come_back_as_they_were() {
    if !can_run("iptables-save") {
        return;
    }
    for file in texts(&["iptables-save.txt"], &["foreign.iptables"]) {
        let text = fs::read_to_string(&file).expect("a readable file");
        let mut sent = xt::parse(&text, Family::V4)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        drop_accounting(&mut sent);
        for input in [xt::save_text(&sent), xt::restore_text(&sent)] {
            let saved = in_namespace("iptables-restore --noflush && iptables-save", &input)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let read = xt::parse(&saved, Family::V4)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            // Restore text leaves a policy of ACCEPT and what has no rules unsaid.
            let again = xt::restore_text(&read);
            assert_eq!(again, xt::restore_text(&sent), "{}", file.display());
        }
    }
}
