//! Hand-written texts: the forms that real tools print and people write, and everything that is refused.

use super::*;
use crate::xt::{restore_text, save_text};

/// Reads a rule of chain OUTPUT and compares how it is saved.
fn check(table: &str, family: Family, rule: &str, saved: &str) {
    let text = format!("*{table}\n:OUTPUT ACCEPT [0:0]\n:C - [0:0]\n-A OUTPUT {rule}\nCOMMIT\n");
    let tables = parse(&text, family).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let printed = save_text(&tables);
    let line = printed.lines().nth(3).expect("one rule");
    assert_eq!(
        line.trim_end(),
        format!("-A OUTPUT {saved}").trim_end(),
        "{rule}"
    );
}

fn check_v4(rule: &str, saved: &str) {
    check("filter", Family::V4, rule, saved);
}

fn check_error(text: &str, expected: &str) {
    let error = parse(text, Family::V4).expect_err(text);
    assert_eq!(error.to_string(), expected, "{text}");
}

/// An error in a rule of `*nat`'s OUTPUT, whose options start in column 11.
fn check_rule_error(rule: &str, expected: &str) {
    let text = format!("*nat\n-A OUTPUT {rule}\nCOMMIT\n");
    check_error(&text, &format!("line 2, column {expected}"));
}

#[test]
fn options_in_the_order_of_kube_proxy() {
    check_v4(
        r#"-m comment --comment "default/web:http cluster IP" -m tcp -p tcp -d 10.96.0.40 --dport 80 ! -s 10.244.0.0/16 -j C"#,
        r#"! -s 10.244.0.0/16 -d 10.96.0.40/32 -p tcp -m comment --comment "default/web:http cluster IP" -m tcp --dport 80 -j C"#,
    );
}

#[test]
fn negation_in_both_positions() {
    check_v4("! -s 10.0.0.0/8 -j DROP", "! -s 10.0.0.0/8 -j DROP");
    check_v4("-s ! 10.0.0.0/8 -j DROP", "! -s 10.0.0.0/8 -j DROP");
    check_v4("! -i veth+ ! -p udp", "! -i veth+ ! -p udp");
    check_v4(
        "-m conntrack ! --ctstate DNAT",
        "-m conntrack ! --ctstate DNAT",
    );
    check_v4("-m mark --mark ! 0x1", "-m mark ! --mark 0x1");
    check_v4(
        "-m addrtype ! --src-type LOCAL --dst-type local",
        "-m addrtype ! --src-type LOCAL --dst-type LOCAL",
    );
}

#[test]
fn matches_with_defaults_and_other_names() {
    for (written, saved) in [
        (
            "-m recent --name KUBE-SEP-A --rcheck --seconds 600 --reap -j C",
            "-m recent --rcheck --seconds 600 --reap --name KUBE-SEP-A --mask 255.255.255.255 --rsource -j C",
        ),
        (
            "-m ipvs --vaddr 203.0.113.9 --vproto tcp --vport 80 -j DROP",
            "-m ipvs --vproto 6 --vaddr 203.0.113.9 --vport 80 -j DROP",
        ),
        (
            "-m recent ! --remove",
            "-m recent ! --remove --name DEFAULT --mask 255.255.255.255 --rsource",
        ),
        (
            "-p tcp --syn --dport 80",
            "-p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN",
        ),
        (
            "-p tcp -m tcp ! --syn",
            "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN",
        ),
        (
            "-p tcp --tcp-flags ALL NONE",
            "-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE",
        ),
        (
            "-p icmp -m icmp ! --icmp-type echo-request",
            "-p icmp -m icmp ! --icmp-type 8",
        ),
        (
            "-p udp -m multiport --source-ports 1,2:3",
            "-p udp -m multiport --sports 1,2:3",
        ),
        ("-j NOTRACK", "-j CT --notrack"),
        (
            "-j CONNMARK --save-mark --mask 0xff",
            "-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
        ),
        (
            "-j CONNMARK --set-mark 5/7",
            "-j CONNMARK --set-xmark 0x5/0x7",
        ),
        ("-j LOG --log-level 4", "-j LOG"),
        (
            "-j MASQUERADE --to-ports 1024-65535 --random",
            "-j MASQUERADE --to-ports 1024-65535 --random",
        ),
        (
            "-j DNAT --persistent --to-destination 10.0.0.1-10.0.0.9:80-90",
            "-j DNAT --to-destination 10.0.0.1-10.0.0.9:80-90 --persistent",
        ),
        (
            "-j DNAT --to-destination :90",
            "-j DNAT --to-destination :90",
        ),
        (
            "-j SNAT --to-source 1.2.3.4-1.2.3.4:80",
            "-j SNAT --to-source 1.2.3.4:80",
        ),
        (
            "-j REDIRECT --to-ports 80-90",
            "-j REDIRECT --to-ports 80-90",
        ),
        (
            "-j REJECT --reject-with icmp-host-prohibited",
            "-j REJECT --reject-with icmp-host-prohibited",
        ),
    ] {
        check_v4(written, saved);
    }
    check(
        "filter",
        Family::V6,
        "-p icmpv6 -m icmp6 --icmpv6-type echo-request -j C",
        "-p ipv6-icmp -m icmp6 --icmpv6-type 128 -j C",
    );
}

#[test]
fn marks_in_every_form() {
    for (written, saved) in [
        ("--set-xmark 0x4000/0x4000", "0x4000/0x4000"),
        ("--set-xmark 7", "0x7/0xffffffff"),
        ("--set-mark 0x10/0xf", "0x10/0x1f"),
        ("--set-mark 1", "0x1/0xffffffff"),
        ("--or-mark 0x4000", "0x4000/0x4000"),
        ("--and-mark 0xff", "0x0/0xffffff00"),
        ("--xor-mark 0x4000", "0x4000/0x0"),
    ] {
        check_v4(
            &format!("-j MARK {written}"),
            &format!("-j MARK --set-xmark {saved}"),
        );
    }
}

#[test]
fn addresses_in_every_form() {
    check_v4("-s 10.1.2.3", "-s 10.1.2.3/32");
    check_v4("-s 10.1.2.3/8", "-s 10.0.0.0/8");
    check_v4("-s 10.1.2.3/255.255.0.0", "-s 10.1.0.0/16");
    check("filter", Family::V6, "-d fd00::5", "-d fd00::5/128");
    for (to, saved) in [
        ("[fd00::5]:80", "[fd00::5]:80"),
        ("fd00::5", "fd00::5"),
        ("[fd00::5]", "fd00::5"),
    ] {
        check(
            "nat",
            Family::V6,
            &format!("-p tcp -j DNAT --to-destination {to}"),
            &format!("-p tcp -j DNAT --to-destination {saved}"),
        );
    }
}

#[test]
fn other_spellings_of_the_same() {
    check_v4(
        "-m state --state established,NEW",
        "-m conntrack --ctstate NEW,ESTABLISHED",
    );
    check_v4("-j REJECT", "-j REJECT --reject-with icmp-port-unreachable");
    check(
        "filter",
        Family::V6,
        "-j REJECT",
        "-j REJECT --reject-with icmp6-port-unreachable",
    );
    check_v4(
        "-p tcp --dport 80:90 --sport :1023",
        "-p tcp -m tcp --sport 0:1023 --dport 80:90",
    );
    check_v4("-p all -c 5 300 -j C", "-j C");
    check_v4("-g C", "-g C");
    check_v4("", "");
    check_v4(
        "-m nfacct --nfacct-name  ct_state -j DROP",
        "-m nfacct --nfacct-name  ct_state -j DROP",
    );
}

#[test]
fn both_spellings_of_a_probability_are_one() {
    for written in ["0.3333333333", "0.33333333349", "0.33333333333333333"] {
        check_v4(
            &format!("-m statistic --mode random --probability {written} -j C"),
            "-m statistic --mode random --probability 0.33333333349 -j C",
        );
    }
}

#[test]
fn counters_comments_and_blank_lines_are_read_over() {
    let text = "# made by hand\n\n*filter\n:INPUT DROP [5:300]\n[1:60] -A INPUT -j ACCEPT\nCOMMIT\n# end\n";
    let tables = parse(text, Family::V4).unwrap();
    assert_eq!(
        save_text(&tables),
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n"
    );
    assert_eq!(
        restore_text(&tables),
        save_text(&tables),
        "a DROP policy is stated"
    );
}

#[test]
fn refuses_broken_structure() {
    check_error(
        "-A INPUT\n",
        "line 1, column 1: expected `*table` or a comment",
    );
    check_error(
        "*bridge\n",
        "line 1, column 1: there is no table \"bridge\"",
    );
    check_error("*nat\n", "line 1, column 1: table is not closed by COMMIT");
    check_error(
        "*nat\n*filter\n",
        "line 2, column 1: table is not closed by COMMIT",
    );
    check_error(
        "*nat\nCOMMIT\n*nat\nCOMMIT",
        "line 3, column 1: table nat stands twice",
    );
    check_error(
        "*nat\nCOMMIT now\n",
        "line 2, column 8: \"now\" is left over",
    );
    check_error(
        "*nat\n:C ACCEPT [0:0]\n",
        "line 2, column 4: chain C cannot have policy \"ACCEPT\"",
    );
    check_error("*nat\n:C\n", "line 2, column 3: chain policy needs a value");
    check_error(
        "*nat\n:C - [x]\n",
        "line 2, column 6: \"[x]\" is not a pair of counters such as [0:0]",
    );
    check_error(
        "*nat\n:C -\n:C -\n",
        "line 3, column 1: chain C is declared twice",
    );
    check_error(
        "*nat\n-A C -j DROP\n",
        "line 2, column 4: chain C is not declared",
    );
    check_error(
        "*nat\n-X C\n",
        "line 2, column 1: command \"-X\" is not supported; only -A is",
    );
    check_error("*nat\n: -\n", "line 2, column 1: chain name is empty");
}

#[test]
fn refuses_what_it_does_not_understand() {
    for (rule, expected) in [
        ("-m time --kerneltz", "14: match \"time\" is not supported"),
        (
            "-m set --match-set x src,up",
            "32: \"src,up\" is not up to three times src or dst",
        ),
        (
            "-j NETMAP --to 1.2.3.0/24",
            "14: target \"NETMAP\" is not supported",
        ),
        (
            "-m ipvs --vaddr 203.0.113.9 --vport 80",
            "14: match ipvs needs --vaddr, --vproto and --vport",
        ),
        (
            "-m ipvs --vaddr 203.0.113.0/24",
            "27: \"203.0.113.0/24\" is not one address",
        ),
        (
            "-m recent --name x",
            "14: match recent needs --set, --rcheck, --update or --remove",
        ),
        (
            "-m recent --rcheck --reap",
            "14: match recent needs --seconds with --reap",
        ),
        (
            "-m recent --set --seconds 5",
            "14: match recent needs --rcheck or --update with its window",
        ),
        (
            "-m recent --set --name a/b",
            "34: \"a/b\" is not the name of a list, of at most 199 bytes",
        ),
        (
            "-m recent --set --rttl",
            "27: option \"--rttl\" is not understood here",
        ),
        (
            "-m addrtype --dst-type LOCAL --limit-iface-in",
            "40: option \"--limit-iface-in\" is not understood here",
        ),
        (
            "-m icmp6 --icmpv6-type 1",
            "14: match \"icmp6\" is not supported",
        ),
        (
            "-p udp --tcp-flags SYN SYN",
            "18: option \"--tcp-flags\" is not understood here",
        ),
        (
            "-p tcp -m multiport --dports 1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16",
            "40: \"1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16\" is not a list of at most 15 ports such as 80,8000:8080",
        ),
        (
            "-j CT --zone 5",
            "17: option \"--zone\" is not understood here",
        ),
        ("-j CONNMARK", "14: target CONNMARK needs --set-xmark"),
        (
            "-j REDIRECT --to-ports 90-80",
            "34: \"90-80\" is not a port or a range of ports",
        ),
        (
            "-j LOG --log-prefix \"a text that is longer than 29.\"",
            "31: \"a text that is longer than 29.\" is not a text of at most 29 bytes without control characters",
        ),
        ("-j OUTPUT", "14: \"OUTPUT\" is not a user-defined chain"),
        ("-f", "11: option \"-f\" is not understood here"),
        (
            "--dport 80",
            "11: option \"--dport\" is not understood here",
        ),
        ("\"-j\" DROP", "11: option \"-j\" is not understood here"),
        (
            "-j DROP --to-destination 1.2.3.4",
            "19: option \"--to-destination\" is not understood here",
        ),
        ("-s", "13: -s needs a value"),
        ("-s 1.2.3.4 -s 1.2.3.5", "22: -s stands twice"),
        ("-j DROP -j ACCEPT", "19: -j stands twice"),
        (
            "-s fd00::1",
            "14: \"fd00::1\" is not an IPv4 address or network",
        ),
        ("!", "11: `!` cannot stand here"),
        ("! -s ! 1.2.3.4", "16: `!` cannot stand here"),
        ("! -j DROP", "13: `!` cannot stand here"),
        (
            "-m statistic --mode nth",
            "31: \"nth\" is not the mode `random`",
        ),
        (
            "-m statistic --mode random",
            "14: match statistic needs --probability",
        ),
        (
            "-m statistic --mode random --probability 1.5",
            "52: \"1.5\" is not a probability from 0 to 1",
        ),
        (
            "-m addrtype",
            "14: match addrtype needs --src-type or --dst-type",
        ),
        ("-m mark -j DROP", "14: match mark needs --mark"),
        ("-j DNAT", "14: target DNAT needs --to-destination"),
        (
            "-p tcp --dport 9:8",
            "26: \"9:8\" is not a port or a range such as 8000:8080",
        ),
        ("-m comment --comment \"a", "32: quote is not closed"),
        ("-m comment --comment \"a\\", "32: quote is not closed"),
        (
            "-i a-name-that-is-too-long",
            "14: \"a-name-that-is-too-long\" is not an interface name of at most 15 bytes",
        ),
    ] {
        check_rule_error(rule, expected);
    }
}
