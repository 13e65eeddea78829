//! Dumps are read whole: what is not understood is kept as text, prints as it was, and reads back the same.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use switchboard_ruleset::nft::{self, Ident, Statement, TableKey};
use switchboard_ruleset::xt::{self, ChainName, TableName, XtMatch, XtTarget};
use switchboard_ruleset::{Family, TextPlace};

/// The dumps that the command is tested with.
fn dumps(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/dumps");
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// What was printed once prints the same for ever.
fn check_xt(text: &str, family: Family) {
    let Ok(dump) = xt::parse_dump(text, family) else {
        return;
    };
    let printed = xt::save_text(&dump.tables);
    let again =
        xt::parse_dump(&printed, family).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(xt::save_text(&again.tables), printed);
}

fn check_nft(text: &str) {
    let Ok(dump) = nft::parse_dump(text) else {
        return;
    };
    let printed = nft::list_text(&dump.tables);
    let again = nft::parse_dump(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(nft::list_text(&again.tables), printed);
}

#[test]
fn whole_dumps_read_back() {
    let (saves, lists) = (dumps("save"), dumps("nft"));
    assert!(saves.len() > 5 && lists.len() > 5);
    for path in saves {
        let text = fs::read_to_string(&path).unwrap();
        xt::parse_dump(&text, Family::V4)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        check_xt(&text, Family::V4);
    }
    for path in lists {
        let text = fs::read_to_string(&path).unwrap();
        nft::parse_dump(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        check_nft(&text);
    }
}

#[test]
fn what_is_understood_is_read_as_before() {
    let text = "*nat\n:C - [0:0]\n-A C -p tcp -m tcp --dport 80 -j RETURN\nCOMMIT\n";
    let strict = xt::parse(text, Family::V4).unwrap();
    assert_eq!(xt::parse_dump(text, Family::V4).unwrap().tables, strict);
    let text =
        "table ip t {\n\tchain c {\n\t\ttcp dport 80 counter packets 0 bytes 0 drop\n\t}\n}\n";
    let strict = nft::parse(text).unwrap();
    assert_eq!(nft::parse_dump(text).unwrap().tables, strict);
}

/// Reads one rule of `filter`'s INPUT on line 2 and shows its matches and target.
fn kept(rule: &str) -> (Vec<String>, String) {
    let text = format!("*filter\n-A INPUT {rule}\nCOMMIT\n");
    let dump = xt::parse_dump(&text, Family::V4).unwrap();
    let chain = ChainName::literal("INPUT");
    let start = TextPlace { line: 2, column: 1 };
    assert_eq!(dump.place(&(TableName::Filter, chain), 0), Some(start));
    let rule = &dump.tables.chain(TableName::Filter, chain).unwrap().rules[0];
    let matches = rule.matches.iter().map(|one| match one {
        XtMatch::Unknown(text) => format!("{}: {text}", text.place()),
        other => format!("{other:?}"),
    });
    let target = match &rule.target {
        XtTarget::Unknown(text) => format!("{}: unknown {text}", text.place()),
        XtTarget::Inert(text) => format!("{}: inert {text}", text.place()),
        other => format!("{other:?}"),
    };
    (matches.collect(), target)
}

#[test]
fn text_ends_where_the_rule_goes_on() {
    let check = |rule: &str, matches: &[&str], target: &str| {
        let expected: Vec<String> = matches.iter().map(|one| (*one).to_owned()).collect();
        assert_eq!(kept(rule), (expected, target.to_owned()), "{rule}");
    };
    check(
        "-m set ! --match-set a src -s 10.0.0.0/8 -j DROP",
        &["line 2, column 13: -m set ! --match-set a src"],
        "Drop",
    );
    check(
        "-m set --match-set a src -m mac --mac-source 00:11:22:33:44:55 -j ULOG --ulog-prefix \"-j x\"",
        &["line 2, column 13: -m set --match-set a src -m mac --mac-source 00:11:22:33:44:55"],
        "line 2, column 76: inert -j ULOG --ulog-prefix \"-j x\"",
    );
    check("! -f -j DROP", &["line 2, column 12: ! -f"], "Drop");
    check(
        "-m statistic --mode nth --every 3 --packet 0 -j RETURN",
        &["line 2, column 13: -m statistic --mode nth --every 3 --packet 0"],
        "Return",
    );
    check(
        "-m statistic -p tcp",
        &["line 2, column 13: -m statistic"],
        "None",
    );
    check(
        "-j TPROXY --on-port 80 -m mark --mark 1",
        &["Mark { negated: false, value: 1, mask: 4294967295 }"],
        "line 2, column 13: unknown -j TPROXY --on-port 80",
    );
    check("-g NOWHERE", &[], "line 2, column 13: unknown -g NOWHERE");
    check(
        "-j REJECT --reject-with icmp-nonsense",
        &[],
        "line 2, column 13: unknown -j REJECT --reject-with icmp-nonsense",
    );
    check(
        "-j SET --map-set a src --map-mark",
        &[],
        "line 2, column 13: unknown -j SET --map-set a src --map-mark",
    );
    check(
        "-j SET --add-set a src",
        &[],
        "line 2, column 13: inert -j SET --add-set a src",
    );
}

/// Reads one rule on line 3 and shows its statements.
fn statements(rule: &str) -> Vec<String> {
    let text = format!("table ip t {{\n\tchain c {{\n\t\t{rule}\n\t}}\n}}\n");
    let dump = nft::parse_dump(&text).unwrap();
    let key = TableKey {
        family: nft::NftFamily::Ip,
        name: Ident::literal("t"),
    };
    let start = TextPlace { line: 3, column: 3 };
    let chain = Ident::literal("c");
    assert_eq!(dump.place(&(key.clone(), chain.clone()), 0), Some(start));
    let table = &dump.tables.tables[&key];
    let rule = &table.chain(&chain).unwrap().rules[0];
    let shown = rule.statements.iter().map(|one| match one {
        Statement::Inert(text) => format!("inert {text}"),
        Statement::UnknownMatch(text) => format!("test {text}"),
        Statement::Unknown(text) => format!("unknown {text}"),
        Statement::Verdict(verdict) => verdict.to_string(),
        _ => "known".to_owned(),
    });
    shown.collect()
}

#[test]
fn a_test_ends_where_something_else_begins() {
    for (rule, expected) in [
        (
            "meta skuid 0 tcp dport 80 accept",
            vec!["test meta skuid 0 tcp dport 80", "accept"],
        ),
        (
            "tcp dport http counter accept",
            vec!["test tcp dport http", "known", "accept"],
        ),
        (
            "ip saddr @nowhere ether type vlan drop",
            vec!["known", "test ether type vlan", "drop"],
        ),
        (
            "limit rate 5/second burst 3 packets jump x",
            vec!["test limit rate 5/second burst 3 packets", "jump x"],
        ),
        (
            "ether type { ip,\n arp } drop",
            vec!["test ether type { ip, arp }", "drop"],
        ),
        (
            "jump { accept; } drop",
            vec!["unknown jump { accept; } drop"],
        ),
        (
            "ct original saddr vmap { 1.1.1.1 : drop }",
            vec!["unknown ct original saddr vmap { 1.1.1.1 : drop }"],
        ),
        (
            "meta mark set jhash ip saddr mod 2",
            vec!["unknown meta mark set jhash ip saddr mod 2"],
        ),
        (
            "meta nftrace set 1 log flags tcp sequence,options drop",
            vec![
                "inert meta nftrace set 1",
                "inert log flags tcp sequence,options",
                "drop",
            ],
        ),
        (
            "ip daddr 1.1.1.1 # xt_addrtype counter packets 0 bytes 0 drop",
            vec![
                "known",
                "unknown # xt_addrtype counter packets 0 bytes 0 drop",
            ],
        ),
        (
            "xt match socket counter xt target \"CT\" drop",
            vec![
                "test xt match socket",
                "known",
                "unknown xt target \"CT\" drop",
            ],
        ),
        ("drop # handle 4", vec!["drop"]),
        (
            "ip saddr ~ \"what drop",
            vec!["test ip saddr ~", "unknown \"what drop"],
        ),
    ] {
        assert_eq!(statements(rule), expected, "{rule}");
    }
}

const XT_WORDS: [&str; 34] = [
    "-s",
    "-d",
    "-i",
    "-o",
    "-p",
    "-m",
    "-j",
    "-g",
    "!",
    "-f",
    "tcp",
    "udp",
    "set",
    "conntrack",
    "comment",
    "statistic",
    "--ctstate",
    "--dport",
    "--comment",
    "--mode",
    "--probability",
    "--mark",
    "NEW",
    "DROP",
    "LOG",
    "MARK",
    "DNAT",
    "--to-destination",
    "--set-xmark",
    "10.0.0.0/8",
    "0x1/0x1",
    "\"a b\"",
    "NOWHERE",
    "--random",
];

const NFT_WORDS: [&str; 34] = [
    "ip", "saddr", "daddr", "tcp", "dport", "80", "10.0.0.1", "{", "}", ",", "drop", "accept",
    "counter", "log", "prefix", "\"x\"", "meta", "mark", "set", "1", "vmap", ":", "limit", "rate",
    "@x", "jump", "c", "xt", "match", "# xt_A", "comment", "dnat", "to", "-",
];

proptest! {
    #[test]
    fn any_words_are_kept_or_refused(words in prop::collection::vec(prop::sample::select(&XT_WORDS[..]), 1..14)) {
        let text = format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {}\nCOMMIT\n", words.join(" "));
        check_xt(&text, Family::V4);
    }

    #[test]
    fn any_words_are_kept_by_nft(words in prop::collection::vec(prop::sample::select(&NFT_WORDS[..]), 1..14)) {
        let text = format!("table ip t {{\n\tchain c {{\n\t\t{}\n\t}}\n}}\n", words.join(" "));
        check_nft(&text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        check_xt(&text, Family::V6);
        check_nft(&text);
    }
}
