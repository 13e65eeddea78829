//! Hand-written texts: the forms that people and programs write, and everything that is refused.

use super::parse;
use crate::nft::list_text;

/// Reads a rule of a chain in a table of a family and compares how it is listed.
fn check_in(family: &str, rule: &str, listed: &str) {
    let text = format!("table {family} t {{\n\tchain c {{\n\t\t{rule}\n\t}}\n}}\n");
    let tables = parse(&text).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let printed = list_text(&tables);
    let line = printed.lines().nth(2).expect("one rule");
    assert_eq!(line.trim(), listed, "{rule}");
}

fn check(rule: &str, listed: &str) {
    check_in("ip", rule, listed);
}

fn check_script(script: &str, listed: &str) {
    let tables = parse(script).unwrap_or_else(|error| panic!("{script}: {error}"));
    assert_eq!(list_text(&tables), listed, "{script}");
}

fn check_error(text: &str, expected: &str) {
    let error = parse(text).expect_err(text);
    assert_eq!(error.to_string(), expected, "{text}");
}

/// An error in a rule, whose statements start in column 16.
fn check_rule_error(rule: &str, expected: &str) {
    let text = format!("add table t; add chain t c\nadd rule t c   {rule}\n");
    check_error(&text, &format!("line 2, column {expected}"));
}

#[test]
fn rules_as_kube_proxy_writes_them() {
    for (written, listed) in [
        (
            "mark and 0x4000 != 0 meta mark set mark xor 0x4000 masquerade fully-random",
            "meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
        ),
        (
            "meta l4proto udp dnat ip addr . port to numgen random mod 2 map { 0 : 10.180.0.1 . 80 , 1 : 10.180.0.2 . 80 }",
            "meta l4proto udp dnat ip to numgen random mod 2 map { 0 : 10.180.0.1 . 80, 1 : 10.180.0.2 . 80 }",
        ),
        (
            "meta mark set mark or 0x4000 comment \"masquerade\"",
            "meta mark set meta mark | 0x00004000 comment \"masquerade\"",
        ),
        (
            "update @affinity-X-default/web/tcp/http__10.0.0.1/80 { ip saddr }",
            "update @affinity-X-default/web/tcp/http__10.0.0.1/80 { ip saddr }",
        ),
    ] {
        check(written, listed);
    }
}

#[test]
fn other_spellings_of_the_same() {
    for (written, listed) in [
        ("meta iifname eth0 drop", "iifname \"eth0\" drop"),
        ("iif lo accept", "iif \"lo\" accept"),
        ("tcp dport eq 80 accept", "tcp dport 80 accept"),
        ("tcp dport ne 80 accept", "tcp dport != 80 accept"),
        ("ip saddr 10.1.2.3/8 drop", "ip saddr 10.0.0.0/8 drop"),
        ("ip saddr 10.1.2.3/32 drop", "ip saddr 10.1.2.3 drop"),
        ("mark 5 accept", "meta mark 0x00000005 accept"),
        (
            "tcp flags & (fin|syn|rst|ack) == syn accept",
            "tcp flags syn / fin,syn,rst,ack accept",
        ),
        (
            "tcp flags & (syn|ack) != 0 accept",
            "tcp flags syn,ack accept",
        ),
        (
            "meta mark set mark | 0x1 ^ 0x2 & 0x3",
            "meta mark set meta mark | 0x00000003",
        ),
        (
            "meta mark set (mark | 0x1) & 0x3",
            "meta mark set (meta mark | 0x00000001) & 0x00000003",
        ),
        (
            "meta l4proto icmpv6 accept",
            "meta l4proto ipv6-icmp accept",
        ),
        ("meta l4proto esp accept", "meta l4proto 50 accept"),
        ("reject with icmp type port-unreachable", "reject"),
        (
            "ct state related , established accept",
            "ct state established,related accept",
        ),
        ("counter drop", "counter packets 0 bytes 0 drop"),
        ("redirect to : 90", "redirect to :90"),
        (
            "tcp dport vmap { 80: accept, 81 : drop, }",
            "tcp dport vmap { 80 : accept, 81 : drop }",
        ),
        (
            "tcp dport { 80,\n 81\n } \\\n accept # handle 4",
            "tcp dport { 80, 81 } accept",
        ),
    ] {
        check(written, listed);
    }
    check_in("inet", "reject with icmpx port-unreachable", "reject");
    check_in(
        "ip6",
        "meta l4proto tcp dnat to [fd00::1]:80",
        "meta l4proto tcp dnat to [fd00::1]:80",
    );
    check_in(
        "inet",
        "meta nfproto ipv6 dnat ip6 to fd00::1",
        "meta nfproto ipv6 dnat ip6 to fd00::1",
    );
}

#[test]
fn scripts_are_run_command_by_command() {
    check_script(
        "add table ip kube-proxy { comment \"rules for kube-proxy\" ; }\n\
         add chain ip kube-proxy services\n\
         add rule ip kube-proxy services drop\n\
         flush chain ip kube-proxy services\n\
         add set ip kube-proxy cluster-ips { type ipv4_addr ; comment \"x\" ; }\n\
         add map ip kube-proxy m { type inet_proto . inet_service : verdict ; }\n\
         add rule ip kube-proxy services ip daddr @cluster-ips reject comment \"why\"\n\
         insert rule ip kube-proxy services meta l4proto . th dport vmap @m\n\
         add element ip kube-proxy cluster-ips { 172.30.0.42, 172.30.0.41 }\n\
         add element ip kube-proxy m { tcp . 80 comment \"c\" : goto services }\n\
         add element ip kube-proxy m { tcp . 81 : drop }\n\
         delete element ip kube-proxy m { tcp . 81 : drop }\n\
         destroy element ip kube-proxy m { tcp . 82 }\n\
         destroy table nothing\n",
        "table ip kube-proxy {\n\
         \tcomment \"rules for kube-proxy\"\n\
         \tset cluster-ips {\n\
         \t\ttype ipv4_addr\n\
         \t\tcomment \"x\"\n\
         \t\telements = { 172.30.0.41, 172.30.0.42 }\n\
         \t}\n\
         \n\
         \tmap m {\n\
         \t\ttype inet_proto . inet_service : verdict\n\
         \t\telements = { tcp . 80 comment \"c\" : goto services }\n\
         \t}\n\
         \n\
         \tchain services {\n\
         \t\tmeta l4proto . th dport vmap @m\n\
         \t\tip daddr @cluster-ips reject comment \"why\"\n\
         \t}\n\
         }\n",
    );
    check_script(
        "table t\ndelete table t; table inet u { }",
        "table inet u {\n}\n",
    );
    check_script(
        "table t { chain c { drop; }; }; flush table t",
        "table ip t {\n\tchain c {\n\t}\n}\n",
    );
    check_script("table t; flush ruleset", "");
}

#[test]
fn priorities_in_every_form() {
    for (written, listed) in [
        (
            "prerouting priority dstnat - 10",
            "prerouting priority dstnat - 10",
        ),
        (
            "prerouting priority -110",
            "prerouting priority dstnat - 10",
        ),
        ("output priority -110", "output priority -110"),
        ("input priority 0", "input priority filter"),
        ("forward priority filter + 5", "forward priority filter + 5"),
        ("forward priority 11", "forward priority 11"),
    ] {
        check(
            &format!("type filter hook {written}; policy drop"),
            &format!("type filter hook {listed}; policy drop;"),
        );
    }
}

#[test]
fn refuses_rules_that_it_does_not_understand() {
    for (rule, expected) in [
        (
            "limit rate 5/second",
            "16: statement \"limit\" is not supported",
        ),
        (
            "xt match \"comment\"",
            "16: statement \"xt\" is not supported",
        ),
        ("nonsense", "16: \"nonsense\" is not supported"),
        ("ip ttl 5", "16: `ip ttl` is not supported"),
        ("meta skuid 5", "16: `meta skuid` is not supported"),
        (
            "ct original ip daddr 1.1.1.1",
            "16: `ct original` is not supported",
        ),
        (
            "fib saddr . iif oif 0",
            "16: fib with an interface or a result other than type is not supported",
        ),
        (
            "jump { accept; }",
            "16: a chain without a name is not supported",
        ),
        (
            "snat to :90",
            "24: \":90\" is not a range of addresses of this family, or of ports",
        ),
        (
            "dnat to 1.1.1.9-1.1.1.1",
            "24: \"1.1.1.9-1.1.1.1\" is not a range of addresses of this family, or of ports",
        ),
        (
            "dnat to fd00::1",
            "24: \"fd00::1\" is not one address of this family, with or without a port",
        ),
        (
            "tcp dport http",
            "26: \"http\" is not a port or a range of ports, in numbers",
        ),
        (
            "tcp dport 70000",
            "26: \"70000\" is not a port or a range of ports, in numbers",
        ),
        (
            "tcp dport 9-8",
            "26: \"9-8\" is not a port or a range of ports, in numbers",
        ),
        (
            "ip saddr fd00::1",
            "25: \"fd00::1\" is not an IPv4 address, network or range",
        ),
        (
            "ip saddr",
            "24: expected a value, found the end of the line",
        ),
        (
            "ip saddr . ip daddr 1.1.1.1",
            "36: comparing a concatenation with one value is not supported",
        ),
        (
            "numgen random mod 0 drop",
            "34: \"0\" is not a number above zero",
        ),
        (
            "meta mark set ip saddr",
            "30: \"ip\" is not something a mark can be set to",
        ),
        ("accept }", "23: expected the end of the line, found \"}\""),
        (
            "comment \"a\" drop",
            "28: expected the end of the line, found \"drop\"",
        ),
        (
            "log prefix \"a\" level info",
            "31: option \"level\" of log is not supported",
        ),
        (
            "reject with icmp nonsense",
            "33: \"nonsense\" is not a supported way to reject",
        ),
        ("drop comment \"a", "29: quote is not closed"),
        ("ip saddr $x", "25: character '$' cannot stand here"),
        (
            "goto accept",
            "21: name \"accept\" is a word of the language",
        ),
    ] {
        check_rule_error(rule, expected);
    }
    let parentheses = "(".repeat(100);
    check_rule_error(&format!("{parentheses}mark"), "32: too many parentheses");
}

#[test]
fn refuses_broken_structure() {
    for (text, expected) in [
        (
            "add rule t c drop",
            "line 1, column 10: there is no table ip t",
        ),
        (
            "table t\nadd rule t c drop",
            "line 2, column 12: there is no chain \"c\" in the table",
        ),
        (
            "table t\ndelete set t s",
            "line 2, column 14: there is no set or map \"s\" in the table",
        ),
        (
            "table t { set s { elements = { 1 } } }",
            "line 1, column 15: s has no type",
        ),
        (
            "table t { set s { typeof ct status; } }",
            "line 1, column 26: a set of such values is not supported",
        ),
        (
            "table t { set s { type ether_addr; } }",
            "line 1, column 24: type \"ether_addr\" is not supported",
        ),
        (
            "table t { map s { type mark; } }",
            "line 1, column 15: s has no type",
        ),
        (
            "table t { flowtable f { } }",
            "line 1, column 11: \"flowtable\" of a table is not supported",
        ),
        (
            "table arp t",
            "line 1, column 7: family \"arp\" is not supported",
        ),
        (
            "table t {",
            "line 1, column 10: expected `}` or an object, found the end of the text",
        ),
        (
            "table t { chain c {",
            "line 1, column 20: expected a statement, found the end of the text",
        ),
        (
            "list ruleset",
            "line 1, column 1: command \"list\" is not supported",
        ),
        (
            "define x = 5",
            "line 1, column 1: command \"define\" is not supported",
        ),
        (
            "table t { chain c { type filter hook ingress device eth0 priority 0; } }",
            "line 1, column 38: hook \"ingress\" is not supported",
        ),
        (
            "table t { chain c { type filter hook forward priority dstnat; } }",
            "line 1, column 55: \"dstnat\" is not a priority of this hook",
        ),
        (
            "table t { map m { type mark : mark; elements = { 1 : 2, 1 : 3 }; } }",
            "line 1, column 57: element 1 stands twice",
        ),
    ] {
        check_error(text, expected);
    }
}
