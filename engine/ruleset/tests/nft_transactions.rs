//! Transactions: what is between two tables makes one the other, here, as text, and in a kernel's eyes.

use proptest::collection::vec;
use proptest::prelude::*;
use switchboard_ruleset::nft::{NftTables, NftTransaction, list_text, parse, script_text};

fn tables(text: &str) -> NftTables {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Checks that the transaction between two texts is this one, and does what it is for.
fn check(before: &str, after: &str, expected: &str) {
    let (before, after) = (tables(before), tables(after));
    let transaction = NftTransaction::between(&before, &after);
    assert_eq!(transaction.script(), expected);
    check_effect(&before, &after, &transaction).unwrap();
}

fn check_effect(
    before: &NftTables,
    after: &NftTables,
    transaction: &NftTransaction,
) -> Result<(), TestCaseError> {
    let script = transaction.script();
    let applied = before.apply(transaction);
    let applied = applied.map_err(|error| TestCaseError::fail(format!("{error}\n{script}")))?;
    prop_assert_eq!(
        list_text(&applied.canonical()),
        list_text(&after.canonical())
    );
    let both = script_text(before) + &script;
    let read = parse(&both);
    let read = read.map_err(|error| TestCaseError::fail(format!("{error}\n{both}")))?;
    prop_assert_eq!(list_text(&read.canonical()), list_text(&after.canonical()));
    prop_assert!(NftTransaction::between(&applied, after).is_empty());
    Ok(())
}

const WEB: &str = "table ip t {
    map ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 10.0.0.1 . tcp . 80 : goto web } }
    set hairpin { type ipv4_addr; elements = { 10.1.0.1 } }
    chain services { type nat hook prerouting priority dstnat; policy accept; ip daddr . meta l4proto . th dport vmap @ips; }
    chain web { meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 10.1.0.1 . 8080 }; }
}";

#[test]
fn nothing_is_between_equals() {
    check(WEB, WEB, "");
    check("", "", "");
}

#[test]
fn tables_come_and_go() {
    check(
        "",
        "table ip t { comment \"ours\"; set s { type ipv4_addr; elements = { 10.0.0.1 } }\nchain c { ip saddr @s drop; }\n }",
        "add table ip t { comment \"ours\"; }\n\
         add chain ip t c\n\
         table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1 }\n\t}\n}\n\
         add rule ip t c ip saddr @s drop\n",
    );
    check(
        "table ip t { chain c { drop; } }",
        "",
        "delete table ip t\n",
    );
}

#[test]
fn an_endpoint_that_comes_rewrites_its_chain() {
    let after = WEB.replace("10.1.0.1 }", "10.1.0.1, 10.1.0.2 }").replace(
        "mod 1 map { 0 : 10.1.0.1 . 8080 }",
        "mod 2 map { 0 : 10.1.0.1 . 8080, 1 : 10.1.0.2 . 8080 }",
    );
    check(
        WEB,
        &after,
        "flush chain ip t web\n\
         add element ip t hairpin { 10.1.0.2 }\n\
         add rule ip t web meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.1.0.1 . 8080, 1 : 10.1.0.2 . 8080 }\n",
    );
}

#[test]
fn a_service_that_goes_lets_go_first() {
    let after = "table ip t {
        map ips { type ipv4_addr . inet_proto . inet_service : verdict; }
        set hairpin { type ipv4_addr; }
        chain services { type nat hook prerouting priority dstnat; policy accept; ip daddr . meta l4proto . th dport vmap @ips; }
    }";
    check(
        WEB,
        after,
        "flush chain ip t web\n\
         delete element ip t ips { 10.0.0.1 . tcp . 80 }\n\
         delete element ip t hairpin { 10.1.0.1 }\n\
         delete chain ip t web\n",
    );
}

#[test]
fn an_element_that_leads_elsewhere_is_put_in_anew() {
    let before = "table ip t { map m { type inet_service : verdict; elements = { 80 : goto a } }\nchain a { accept; }\nchain b { drop; }\n}";
    check(
        before,
        &before.replace("goto a", "goto b"),
        "delete element ip t m { 80 }\nadd element ip t m { 80 : goto b }\n",
    );
}

/// A set's timeout cannot be changed: who names it is written anew.
#[test]
fn a_set_of_another_kind_takes_its_rules_along() {
    let before = "table ip t {
        set s { type ipv4_addr; flags dynamic,timeout; timeout 1m; }
        chain c { update @s { ip saddr }; }
        chain d { accept; }
    }";
    check(
        before,
        &before.replace("1m", "2m"),
        "flush chain ip t c\n\
         delete set ip t s\n\
         table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\ttimeout 2m\n\t}\n}\n\
         add rule ip t c update @s { ip saddr }\n",
    );
}

/// Nor can a chain's hook; and a map that leads to a chain that comes back is filled anew.
#[test]
fn a_chain_of_another_kind_takes_its_callers_along() {
    let before = "table ip t {
        map m { type inet_service : verdict; elements = { 80 : goto a } }
        chain a { drop; }
        chain b { jump a; }
        chain c { type filter hook input priority filter; policy accept; }
    }";
    let after = before
        .replace("chain a { drop; }", "chain a { comment \"new\"; drop; }")
        .replace("hook input", "hook forward");
    check(
        before,
        &after,
        "flush chain ip t a\n\
         flush chain ip t b\n\
         delete element ip t m { 80 }\n\
         delete chain ip t a\n\
         delete chain ip t c\n\
         table ip t {\n\tchain a {\n\t\tcomment \"new\"\n\t}\n}\n\
         table ip t {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n\
         add element ip t m { 80 : goto a }\n\
         add rule ip t a drop\n\
         add rule ip t b jump a\n",
    );
}

#[test]
fn a_policy_is_changed_in_place() {
    let before =
        "table ip t { chain c { type filter hook input priority filter; policy accept; drop; } }";
    check(
        before,
        &before.replace("policy accept", "policy drop"),
        "table ip t {\n\tchain c {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n",
    );
}

#[test]
fn what_a_kernel_refuses_is_refused() {
    let before = tables(WEB);
    let refused = |script: &str, after: &str| {
        // Between tables that were not there before.
        let transaction = NftTransaction::between(&tables(script), &tables(after));
        before.apply(&transaction).unwrap_err().to_string()
    };
    let with = |more: &str| WEB.replace("chain web {", &format!("{more}\nchain web {{"));
    assert_eq!(
        refused("table ip u { chain c { } }", ""),
        "operation 1 on table ip u: there is no such table"
    );
    assert_eq!(
        refused(&with("chain x { }"), WEB),
        "operation 1 on table ip t: there is no chain x"
    );
    assert_eq!(
        refused(&with("set x { type mark; }"), WEB),
        "operation 1 on table ip t: there is no set or map x"
    );
    assert_eq!(
        refused(&WEB.replace("10.1.0.1 }", "10.1.0.1, 10.1.0.9 }"), WEB),
        "operation 1 on table ip t: hairpin has no such element"
    );
    assert_eq!(
        refused(&WEB.replace(" elements = { 10.1.0.1 }", ""), WEB),
        "operation 1 on table ip t: hairpin has an element of that key"
    );
    assert_eq!(
        refused(
            "table ip t { map ips { type ipv4_addr . inet_proto . inet_service : verdict; }\n}",
            "table ip t { }"
        ),
        "operation 1 on table ip t: ips is still in use"
    );
    assert_eq!(
        refused("table ip t { chain web { }\n}", "table ip t { }"),
        "operation 1 on table ip t: web is still in use"
    );
    assert_eq!(
        refused(
            "table ip t { map hairpin { type ipv4_addr : verdict; }\n}",
            "table ip t { }"
        ),
        "operation 1 on table ip t: hairpin is a set where a map is wanted, or a map where a set is"
    );
}

/// Small tables out of few parts, so that two of them have much in common.
fn table() -> impl Strategy<Value = String> {
    let timeout = prop_oneof![Just(""), Just("timeout 1m;"), Just("timeout 2m;")];
    let elements = |value: fn(u8) -> String| {
        vec(any::<bool>(), 4).prop_map(move |there| {
            let there = (0..4_u8).zip(there).filter(|(_, there)| *there);
            let elements: Vec<String> = there.map(|(n, _)| value(n)).collect();
            match elements.is_empty() {
                true => String::new(),
                false => format!("elements = {{ {} }}", elements.join(", ")),
            }
        })
    };
    let rules = vec(
        prop_oneof![
            Just("accept;"),
            Just("ip saddr @s drop;"),
            Just("th dport vmap @m;"),
            Just("update @s { ip saddr };"),
            Just("meta mark 1 counter;"),
        ],
        0..3,
    );
    let policy = prop_oneof![Just("accept"), Just("drop")];
    let comment = prop_oneof![3 => Just(""), 1 => Just("comment \"c\";")];
    (
        timeout,
        elements(|n| format!("10.0.0.{n}")),
        elements(|n| format!("{n} : goto {}", if n % 2 == 0 { "a" } else { "b" })),
        vec(rules, 3),
        policy,
        comment,
        any::<bool>(),
    )
        .prop_map(|(timeout, set, map, rules, policy, comment, has_d)| {
            let text = |n: usize| rules[n].join(" ");
            let d = if has_d { format!("chain d {{ jump a; {} }}", text(2)) } else { String::new() };
            format!(
                "table ip t {{\n set s {{ type ipv4_addr; flags dynamic,timeout; {timeout} {set} }}\n \
                 map m {{ type inet_service : verdict; {map} }}\n \
                 chain a {{ {comment} {} }}\n chain b {{ accept; }}\n \
                 chain base {{ type filter hook input priority filter; policy {policy}; {} }}\n {d} }}",
                text(0).replace("th dport vmap @m;", "counter;"),
                text(1),
            )
        })
}

proptest! {
    #[test]
    fn what_is_between_makes_one_the_other(before in prop_oneof![1 => Just(String::new()), 9 => table()], after in prop_oneof![1 => Just(String::new()), 9 => table()]) {
        let (before, after) = (tables(&before), tables(&after));
        let transaction = NftTransaction::between(&before, &after);
        check_effect(&before, &after, &transaction)?;
    }
}
