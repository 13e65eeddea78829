//! What real tools printed reads back and prints as it was: the dumps of kube-proxy 1.36 that `rules` is held
//! against, and listings of nft 1.0.6 that use the rest of the grammar.

use std::fs;
use std::path::{Path, PathBuf};

use switchboard_ruleset::{Family, nft, xt};

/// Files of a name in all of the recorded cases.
fn recorded(names: &[&str]) -> Vec<PathBuf> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/tests/recorded");
    let mut files: Vec<_> = fs::read_dir(&cases)
        .unwrap_or_else(|error| panic!("{}: {error}", cases.display()))
        .map(|case| case.expect("a readable directory").path())
        .flat_map(|case| names.iter().map(move |name| case.join(name)))
        .filter(|file| file.exists())
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Lists of elements sorted and on one line each: nft prints hash sets in the kernel's order.
fn with_sorted_elements(text: &str) -> String {
    let mut sorted = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("\t\telements = { ") {
        let end = start + rest[start..].find(" }\n").expect("elements are closed");
        let (before, inside) = (&rest[..start], &rest[start + 15..end]);
        let mut elements: Vec<_> = inside.split(',').map(str::trim).collect();
        elements.sort_unstable();
        sorted.push_str(before);
        sorted.push_str(&elements.join(", "));
        rest = &rest[end..];
    }
    sorted + rest
}

#[test]
fn iptables_dumps_are_saved_as_they_were() {
    let mut count = 0;
    for (name, family) in [
        ("iptables-save.txt", Family::V4),
        ("ip6tables-save.txt", Family::V6),
    ] {
        for file in recorded(&[name]) {
            let text = read(&file);
            let tables = xt::parse(&text, family)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert_eq!(xt::save_text(&tables), text, "{}", file.display());
            let restored = xt::parse(&xt::restore_text(&tables), family).unwrap();
            let again = xt::restore_text(&restored);
            assert_eq!(again, xt::restore_text(&tables), "{}", file.display());
            count += 1;
        }
    }
    assert_eq!(count, 22, "21 cases, one of them in both families");
}

#[test]
fn rules_of_docker_cnis_and_the_kubelet_are_saved_as_they_were() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/listed/foreign.iptables");
    let text = read(&file);
    let tables = xt::parse(&text, Family::V4).unwrap_or_else(|error| panic!("{error}"));
    for (mine, theirs) in xt::save_text(&tables).lines().zip(text.lines()) {
        assert_eq!(mine, theirs);
    }
    assert_eq!(xt::save_text(&tables), text);
}

#[test]
fn nft_dumps_are_listed_as_they_were() {
    let files = recorded(&["nft-ip.txt", "nft-ip6.txt"]);
    assert_eq!(files.len(), 22, "21 cases, one of them in both families");
    for file in files {
        let text = read(&file);
        let tables =
            nft::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let listed = nft::list_text(&tables);
        assert_eq!(
            with_sorted_elements(&listed),
            with_sorted_elements(&text),
            "{}",
            file.display()
        );
        assert_eq!(
            listed.lines().count(),
            text.lines().count(),
            "elements wrap alike"
        );
        let scripted = nft::parse(&nft::script_text(&tables)).unwrap();
        assert_eq!(scripted, tables, "{}", file.display());
        assert_eq!(scripted.canonical(), tables.canonical());
    }
}

#[test]
fn listings_of_other_grammar_come_back_as_they_were() {
    for name in ["ip.nft", "inet.nft"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/listed")
            .join(name);
        let text = read(&file);
        let tables = nft::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let listed = nft::list_text(&tables);
        let (mine, theirs) = (with_sorted_elements(&listed), with_sorted_elements(&text));
        for (mine, theirs) in mine.lines().zip(theirs.lines()) {
            assert_eq!(mine, theirs, "{name}");
        }
        assert_eq!(
            listed.lines().count(),
            text.lines().count(),
            "elements wrap alike"
        );
        assert_eq!(nft::parse(&nft::script_text(&tables)).as_ref(), Ok(&tables));
    }
}
