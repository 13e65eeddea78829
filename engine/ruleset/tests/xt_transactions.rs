//! Transactions of iptables: unit by unit, one owner's tables become others, and foreign rules stay where they are.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use switchboard_ruleset::Family;
use switchboard_ruleset::xt::{
    Policy, TableName, XtTables, XtTransaction, parse, restore_text, save_text,
};

fn tables(text: &str) -> XtTables {
    parse(text, Family::V4).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Without what a kernel always has: built-in chains that hold nothing and drop nothing.
fn telling(tables: &XtTables) -> String {
    let mut tables = tables.clone();
    for (name, table) in &mut tables.tables {
        let telling = table.chains.iter().filter(|(chain, body)| {
            let is_built_in = name.built_in_chains().contains(&chain.as_str());
            !is_built_in || !body.rules.is_empty() || body.policy == Some(Policy::Drop)
        });
        table.chains = telling
            .map(|(chain, body)| (*chain, Arc::clone(body)))
            .collect();
    }
    tables.tables.retain(|_, table| !table.chains.is_empty());
    save_text(&tables)
}

fn script(transaction: &XtTransaction) -> String {
    let units = transaction.units.iter();
    units
        .map(|unit| unit.restore_text(transaction.family))
        .collect()
}

fn applied(before: &XtTables, transaction: &XtTransaction) -> Option<XtTables> {
    let mut units = transaction.units.iter();
    units.try_fold(before.clone(), |tables, unit| tables.apply(unit))
}

fn check(before: &str, after: &str, expected: &str) {
    let (before, after) = (tables(before), tables(after));
    let transaction = XtTransaction::between(&before, &after);
    assert_eq!(script(&transaction), expected);
    let made = applied(&before, &transaction).expect("what is between two tables applies");
    assert_eq!(telling(&made), telling(&after));
}

const SERVED: &str = "*filter\n:FORWARD ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n-A FORWARD -j KUBE-SERVICES\nCOMMIT\n\
    *nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n\
    -A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC\n-A KUBE-SVC -p tcp -m tcp -j DNAT --to-destination 10.1.0.1:80\nCOMMIT\n";

const REFUSED: &str = "*filter\n:FORWARD ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n-A FORWARD -j KUBE-SERVICES\n\
    -A KUBE-SERVICES -d 10.96.0.1/32 -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n\
    *nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\nCOMMIT\n";

#[test]
fn nothing_is_between_equals() {
    check(SERVED, SERVED, "");
}

#[test]
fn a_refusal_comes_before_the_translation_goes() {
    check(
        SERVED,
        REFUSED,
        "*filter\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -d 10.96.0.1 -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n\
         *nat\n:KUBE-SVC - [0:0]\n:KUBE-SERVICES - [0:0]\n-X KUBE-SVC\nCOMMIT\n",
    );
}

#[test]
fn a_refusal_goes_after_the_translation_has_come() {
    check(
        REFUSED,
        SERVED,
        "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC - [0:0]\n-A KUBE-SERVICES -d 10.96.0.1 -j KUBE-SVC\n\
         -A KUBE-SVC -p tcp -m tcp -j DNAT --to-destination 10.1.0.1:80\nCOMMIT\n\
         *filter\n:KUBE-SERVICES - [0:0]\nCOMMIT\n",
    );
}

/// Two Services at once: `filter` has both refusals while `nat` changes.
#[test]
fn refusals_of_both_stand_while_translations_change() {
    let other = "-A KUBE-SERVICES -d 10.96.0.2/32 -j REJECT --reject-with icmp-port-unreachable\n";
    let before = SERVED.replace(
        "-A FORWARD -j KUBE-SERVICES\n",
        &format!("-A FORWARD -j KUBE-SERVICES\n{other}"),
    );
    let transaction = XtTransaction::between(&tables(&before), &tables(REFUSED));
    let units: Vec<_> = transaction.units.iter().map(|unit| unit.table).collect();
    assert_eq!(
        units,
        [TableName::Filter, TableName::Nat, TableName::Filter]
    );
    let first = tables(&before).apply(&transaction.units[0]).unwrap();
    let text = save_text(&first);
    assert!(
        text.contains("10.96.0.1/32 -j REJECT") && text.contains("10.96.0.2/32 -j REJECT"),
        "{text}"
    );
}

#[test]
fn jumps_are_named_by_what_they_say() {
    let one = "*nat\n:PREROUTING ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n-A PREROUTING -j A\n-A PREROUTING -j B\nCOMMIT\n";
    check(
        one,
        &one.replace("-A PREROUTING -j A\n", "-A PREROUTING -i eth0 -j A\n"),
        "*nat\n-D PREROUTING -j A\n-I PREROUTING -i eth0 -j A\nCOMMIT\n",
    );
    check(
        one,
        &one.replace(
            "-A PREROUTING -j A\n-A PREROUTING -j B\n",
            "-A PREROUTING -j B\n-A PREROUTING -j A\n",
        ),
        "*nat\n-D PREROUTING -j A\n-D PREROUTING -j B\n-I PREROUTING -j A\n-I PREROUTING -j B\nCOMMIT\n",
    );
    check(
        one,
        "",
        "*nat\n:A - [0:0]\n:B - [0:0]\n-D PREROUTING -j A\n-D PREROUTING -j B\n-X A\n-X B\nCOMMIT\n",
    );
}

#[test]
fn a_policy_is_set_and_lifted() {
    let dropping = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    let accepting = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
    check(accepting, dropping, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n");
    check(
        dropping,
        accepting,
        "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
    );
}

#[test]
fn what_a_kernel_refuses_is_refused() {
    let served = tables(SERVED);
    let gone = XtTransaction::between(&tables("*nat\n:KUBE-SVC - [0:0]\nCOMMIT\n"), &tables(""));
    assert_eq!(applied(&served, &gone), None, "it is in use");
    let there = tables("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT\n");
    let removed = XtTransaction::between(&there, &tables(""));
    assert_eq!(applied(&served, &removed), None, "no such rule");
}

/// Tables out of few parts, so that two of them have much in common.
fn text() -> impl Strategy<Value = String> {
    let table = |name: &'static str, built_in: &'static str, target: &'static str| {
        let jumps = subsequence(vec!["A", "B", "C"], 0..=3).prop_shuffle();
        let rule = (0..4_u8, prop_oneof![Just(target), Just("RETURN")]);
        let rules = vec(vec(rule, 0..4), 3);
        let policy = match name {
            "filter" => prop_oneof![Just("ACCEPT"), Just("DROP")].boxed(),
            _ => Just("ACCEPT").boxed(),
        };
        (jumps, rules, policy, any::<bool>()).prop_map(move |(jumps, rules, policy, is_there)| {
            if !is_there {
                return String::new();
            }
            let mut text = format!("*{name}\n:{built_in} {policy} [0:0]\n");
            for chain in &jumps {
                text += &format!(":{chain} - [0:0]\n");
            }
            for chain in &jumps {
                text += &format!("-A {built_in} -j {chain}\n");
            }
            for (chain, rules) in jumps.iter().zip(rules) {
                for (host, target) in rules {
                    text += &format!("-A {chain} -d 10.0.0.{host}/32 -j {target}\n");
                }
            }
            text + "COMMIT\n"
        })
    };
    let filter = table(
        "filter",
        "FORWARD",
        "REJECT --reject-with icmp-port-unreachable",
    );
    let nat = table("nat", "PREROUTING", "DNAT --to-destination 10.1.0.1");
    (filter, nat).prop_map(|(filter, nat)| filter + &nat)
}

const FOREIGN: &str = "*filter\n:FORWARD ACCEPT [0:0]\n:CNI - [0:0]\n-A FORWARD -i cni0 -j CNI\n-A CNI -j ACCEPT\nCOMMIT\n\
    *nat\n:PREROUTING ACCEPT [0:0]\n:CNI - [0:0]\n-A PREROUTING -i cni0 -j CNI\n-A CNI -j RETURN\nCOMMIT\n";

proptest! {
    #[test]
    fn what_is_between_makes_one_the_other(before in text(), after in text()) {
        let (before, after) = (tables(&before), tables(&after));
        let transaction = XtTransaction::between(&before, &after);
        let made = applied(&before, &transaction);
        prop_assert!(made.is_some(), "{}", script(&transaction));
        let made = made.unwrap();
        prop_assert_eq!(telling(&made), telling(&after), "{}", script(&transaction));
        prop_assert!(XtTransaction::between(&made, &after).is_empty());
    }

    /// Somebody else's chains and jumps are what they were.
    #[test]
    fn others_are_left_alone(before in text(), after in text()) {
        let (before, after) = (tables(&before), tables(&after));
        let mut node = tables(FOREIGN);
        node.apply_restore(&before);
        let transaction = XtTransaction::between(&before, &after);
        let made = applied(&node, &transaction);
        prop_assert!(made.is_some(), "{}", script(&transaction));
        let text = save_text(&made.unwrap());
        for line in FOREIGN.lines().filter(|line| line.contains("CNI")) {
            prop_assert!(text.contains(line), "{}\n{}", line, text);
        }
        let ours = restore_text(&after);
        for line in ours.lines().filter(|line| line.starts_with("-A FORWARD") || line.starts_with("-A PREROUTING")) {
            prop_assert!(text.contains(line), "{}\n{}", line, text);
        }
    }
}
