//! Dumps of real nodes: answers where the rules are understood, "unknown" with a place where they are not.
//!
//! The answers that a comment calls checked were compared with what a kernel does with the same rules.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::{scratch, stderr, stdout, switchboard};
use serde_json::Value as Json;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps")
}

/// Traces a packet; `options` are separated by blanks, files are those of the folder.
fn trace(folder: &Path, options: &str, packet: &str) -> Output {
    let mut args = vec!["trace"];
    args.extend(options.split_whitespace());
    args.extend(["--packet", packet]);
    switchboard(folder, &args)
}

/// The shares of all outcomes with what becomes of the packet, without the rules on the way.
fn outcomes(output: &Output) -> Vec<String> {
    let text = stdout(output);
    let lines = text.lines().filter(|line| line.contains(" %  "));
    lines.map(str::to_owned).collect()
}

/// A packet whose only outcome is known.
fn check(options: &str, packet: &str, outcome: &str) {
    let output = trace(&folder(), options, packet);
    assert_eq!(
        outcomes(&output),
        [format!("100.0 %  {outcome}")],
        "{options} {packet}"
    );
    assert_eq!(output.status.code(), Some(0), "{options} {packet}");
}

/// A packet of which nothing is known.
fn check_unknown(options: &str, packet: &str, why: &str) {
    check_unknown_in(&folder(), options, packet, why);
}

fn check_unknown_in(folder: &Path, options: &str, packet: &str, why: &str) {
    let output = trace(folder, options, packet);
    assert_eq!(
        outcomes(&output),
        [format!("100.0 %  unknown: {why}")],
        "{options} {packet}"
    );
    assert_eq!(output.status.code(), Some(3), "{options} {packet}");
}

/// Writes rules of table `filter`'s INPUT and asks what becomes of a packet to the node.
fn check_input(name: &str, rules: &[&str], expected: Result<&str, &str>) {
    let folder = scratch(name);
    let mut text = "*filter\n:INPUT ACCEPT [0:0]\n".to_owned();
    for rule in rules {
        text.push_str(&format!("-A INPUT {rule}\n"));
    }
    text.push_str("COMMIT\n");
    fs::write(folder.join("dump.save"), text).unwrap();
    check_written(&folder, "--iptables-save dump.save", rules, expected);
}

/// The same for nftables.
fn check_nft_input(name: &str, rules: &[&str], expected: Result<&str, &str>) {
    let folder = scratch(name);
    let mut text =
        "table inet t {\n\tset s {\n\t\ttype ether_addr\n\t}\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n"
            .to_owned();
    for rule in rules {
        text.push_str(&format!("\t\t{rule}\n"));
    }
    text.push_str("\t}\n}\n");
    fs::write(folder.join("dump.nft"), text).unwrap();
    check_written(&folder, "--nft dump.nft", rules, expected);
}

fn check_written(folder: &Path, options: &str, rules: &[&str], expected: Result<&str, &str>) {
    let options = format!("{options} --address 192.168.1.10");
    let output = trace(folder, &options, "tcp:10.0.0.2:40000>192.168.1.10:22");
    let (expected, code) = match expected {
        Ok(outcome) => (format!("100.0 %  {outcome}"), 0),
        Err(why) => (format!("100.0 %  unknown: {why}"), 3),
    };
    assert_eq!(
        outcomes(&output),
        [expected],
        "{rules:?} {}",
        stderr(&output)
    );
    assert_eq!(output.status.code(), Some(code), "{rules:?}");
}

const PROCESS: &str = "handed to a process of the node, unchanged";

/// Checked.
#[test]
fn docker_publishes_a_port_and_masquerades() {
    let node = "--address 192.168.1.10 --address 172.17.0.1 --link docker0=172.17.0.0/16";
    for dump in ["--iptables-save docker-28.save", "--nft docker-28.nft"] {
        let options = format!("{dump} {node}");
        check(
            &options,
            "tcp:1.2.3.4:40000>192.168.1.10:8080",
            "sent out of docker0, to 172.17.0.2:80",
        );
        check(
            &options,
            "tcp:172.17.0.2:40000>1.2.3.4:80",
            "sent out of eth0, as from 192.168.1.10",
        );
    }
}

#[test]
fn an_interface_that_nobody_placed_is_asked_for() {
    check_unknown(
        "--iptables-save docker-28.save --address 192.168.1.10",
        "tcp:172.17.0.2:40000>1.2.3.4:80",
        "docker-28.save: line 32, column 1: filter/DOCKER-ISOLATION-STAGE-1 rule 1: whether the packet arrives by docker0 \
         is not known; say which addresses are behind it with --link docker0=CIDR",
    );
    check(
        "--iptables-save docker-28.save --address 192.168.1.10 --in-interface eth0 --link docker0=172.17.0.0/16",
        "tcp:1.2.3.4:40000>192.168.1.10:8080",
        "sent out of docker0, to 172.17.0.2:80",
    );
    let dump = "--nft kindnet.nft --address 192.168.1.10";
    let packet = "tcp:10.244.0.2:40000>1.1.1.1:443";
    check_unknown(
        dump,
        packet,
        "kindnet.nft: line 7, column 3: inet kindnet-ipmasq/postrouting rule 4: whether the packet leaves by veth* is not \
         known; say which addresses are behind it with --link veth*=CIDR",
    );
    check(
        &format!("{dump} --link veth1=10.244.0.0/24"),
        packet,
        "sent out of eth0, as from 192.168.1.10",
    );
}

#[test]
fn a_link_is_a_name_and_a_network() {
    for link in [
        "docker0",
        "=10.0.0.0/8",
        "docker0=10.0.0.0/33",
        "a-name-of-16-byte=10.0.0.1",
    ] {
        let options = format!("--iptables-save ufw.save --link {link}");
        let output = trace(&folder(), &options, "tcp:1.2.3.4:1>1.2.3.5:1");
        assert_eq!(output.status.code(), Some(2), "{link}");
        assert!(stderr(&output).contains("expected NAME=CIDR"), "{link}");
    }
}

#[test]
fn ufw_limits_only_what_it_logs() {
    let dump = "--iptables-save ufw.save --address 192.168.1.10";
    check(dump, "tcp:10.0.0.2:40000>192.168.1.10:443", PROCESS);
    check(
        dump,
        "tcp:10.0.0.2:40000>192.168.1.10:8443",
        "dropped: dropped by the policy of filter/INPUT",
    );
}

#[test]
fn firewalld_refuses_in_both_dialects() {
    let dump = "--iptables-save firewalld.save --address 192.168.1.10";
    check(dump, "tcp:10.0.0.2:40000>192.168.1.10:22", PROCESS);
    check(
        dump,
        "tcp:10.0.0.2:40000>192.168.1.10:23",
        "refused: rejected by filter/INPUT rule 5 (host prohibited)",
    );
    let dump = "--nft firewalld.nft --address 192.168.1.10";
    check(dump, "tcp:10.0.0.2:40000>192.168.1.10:22", PROCESS);
    check(
        dump,
        "tcp:10.0.0.2:40000>192.168.1.10:23",
        "refused: rejected by inet firewalld/filter_INPUT rule 6 (administratively prohibited)",
    );
}

#[test]
fn calico_is_known_until_a_set_decides() {
    let dump = "--iptables-save calico-3.28.save --address 192.168.1.10 --in-interface eth0 --link cali1=10.244.1.0/24 \
                --link vxlan.calico=10.244.0.0/16";
    check(dump, "tcp:192.168.1.20:40000>192.168.1.10:22", PROCESS);
    check_unknown(
        dump,
        "tcp:10.0.0.2:40000>10.96.0.10:53",
        "calico-3.28.save: line 62, column 70: nat/cali-nat-outgoing rule 1: `-m set --match-set cali40masq-ipam-pools src -m \
         set ! --match-set cali40all-ipam-pools dst` is not understood",
    );
}

#[test]
fn what_is_not_understood_need_not_matter() {
    check(
        "--iptables-save cilium.save --address 192.168.1.10",
        "tcp:10.0.0.2:40000>192.168.1.10:22",
        PROCESS,
    );
    check(
        "--iptables-save istio-sidecar.save --address 10.244.1.5",
        "tcp:10.0.0.2:40000>10.244.1.5:8080",
        "handed to a process of the node, to 10.244.1.5:15006",
    );
    check(
        "--iptables-save libvirt.save --address 192.168.1.10 --link virbr0=192.168.122.0/24",
        "tcp:192.168.122.5:40000>8.8.8.8:53",
        "sent out of eth0, as from 192.168.1.10",
    );
}

#[test]
fn kube_proxys_shares_are_exact_in_both_listings() {
    for dump in [
        "--iptables-save kube-proxy-flannel.save",
        "--nft kube-proxy-flannel.nft",
    ] {
        let options = format!("{dump} --address 192.168.1.10");
        let output = trace(&folder(), &options, "udp:10.244.1.7:40000>10.96.0.10:53");
        let expected = [
            "50.0 %  sent out of eth0, to 10.244.0.2:53",
            "50.0 %  sent out of eth0, to 10.244.0.3:53",
        ];
        assert_eq!(outcomes(&output), expected, "{dump}");
    }
}

/// Checked; nft lists the rule as `ct status dnat`, which is something else.
#[test]
fn iptables_rules_in_a_listing_of_nft_are_not_trusted() {
    let packet = "tcp:192.168.1.10:4000>127.0.0.1:80";
    check(
        "--iptables-save kube-firewall.save --address 192.168.1.10",
        packet,
        "dropped: dropped by filter/KUBE-FIREWALL rule 1",
    );
    check_unknown(
        "--nft kube-firewall.nft --address 192.168.1.10",
        packet,
        "kube-firewall.nft: line 8, column 3: ip filter/KUBE-FIREWALL rule 1: `ct status dnat` is not understood",
    );
    let output = trace(&folder(), "--nft kube-firewall.nft", packet);
    assert!(stderr(&output).contains("give what iptables-save prints with --iptables-save, too"));
}

#[test]
fn rules_that_stand_in_both_files_count_once() {
    let options = "--iptables-save xor-mark.save --nft xor-mark.nft --address 192.168.1.10";
    let packet = "tcp:1.2.3.4:1>192.168.1.10:80";
    check(options, packet, "dropped: dropped by filter/INPUT rule 1");
    let output = trace(&folder(), options, packet);
    let note = "note: xor-mark.nft: left out what is iptables' (ip filter, ip mangle): xor-mark.save has it";
    assert!(stderr(&output).contains(note), "{}", stderr(&output));
}

#[test]
fn what_nft_hides_behind_a_comment_is_a_rule() {
    check_unknown(
        "--nft hidden-by-nft-0.9.nft --address 192.168.1.10",
        "tcp:1.2.3.4:1>192.168.1.10:8080",
        "hidden-by-nft-0.9.nft: line 4, column 3: ip nat/PREROUTING rule 1: `# xt_addrtype counter packets 675 bytes 51804 \
         jump DOCKER` is not understood",
    );
}

#[test]
fn new_names_of_priorities_are_read() {
    check(
        "--nft nft-1.0.9.nft --address 192.168.1.10",
        "tcp:192.168.1.10:1>10.96.0.1:443",
        "sent out of eth0, to 192.168.1.11:6443",
    );
}

#[test]
fn too_many_branches_are_unknown() {
    check_unknown(
        "--iptables-save twenty-random-marks.save --address 192.168.1.10",
        "tcp:1.2.3.4:1>192.168.1.10:80",
        "more than 16384 branches",
    );
    check_nft_input(
        "numgen-huge",
        &[
            "meta mark set numgen random mod 4294967295",
            "meta mark 1 drop",
        ],
        Err("more than 16384 branches"),
    );
}

#[test]
fn every_extension_can_stand_in_a_dump() {
    check_unknown(
        "--iptables-save all-extensions.save --address 192.168.1.10",
        "tcp:1.2.3.4:1>192.168.1.10:80",
        "all-extensions.save: line 95, column 18: mangle/PREROUTING rule 1: `-m rpfilter --invert` is not understood",
    );
    check_unknown(
        "--nft all-statements.nft --address 192.168.1.10",
        "tcp:1.2.3.4:1>192.168.1.10:80",
        "all-statements.nft: line 120, column 3: inet filter/rawpre rule 1: `ct zone set 1` is not understood",
    );
}

#[test]
fn an_unknown_match_is_asked_last_and_only_if_it_decides() {
    let unknown = "-m set --match-set bad src";
    for (name, rules, expected) in [
        (
            "fails-before",
            vec!["-p udp -m set --match-set bad src -j DROP"],
            Ok(PROCESS),
        ),
        (
            "fails-after",
            vec!["-p tcp -m set --match-set bad src -m tcp --dport 23 -j DROP"],
            Ok(PROCESS),
        ),
        ("counts", vec![unknown], Ok(PROCESS)),
        (
            "logs",
            vec!["-m set --match-set bad src -j LOG --log-level debug --log-uid"],
            Ok(PROCESS),
        ),
        (
            "accepts",
            vec!["-m set --match-set good src -j ACCEPT"],
            Ok(PROCESS),
        ),
        (
            "limits",
            vec!["-m limit --limit 3/min -j NFLOG --nflog-group 5"],
            Ok(PROCESS),
        ),
        (
            "drops",
            vec!["-m set --match-set bad src -j DROP"],
            Err(
                "dump.save: line 3, column 13: filter/INPUT rule 1: `-m set --match-set bad src` is not understood",
            ),
        ),
        (
            "target",
            vec!["-p tcp -j NFQUEUE --queue-num 0"],
            Err(
                "dump.save: line 3, column 20: filter/INPUT rule 1: `-j NFQUEUE --queue-num 0` is not understood",
            ),
        ),
        (
            "missing-chain",
            vec!["-p udp -j NOWHERE", "-p tcp -j NOWHERE"],
            Err(
                "dump.save: line 4, column 20: filter/INPUT rule 2: `-j NOWHERE` is not understood",
            ),
        ),
        (
            "module-option",
            vec!["-m conntrack --ctstate NEW --ctzone 3 -j DROP"],
            Err(
                "dump.save: line 3, column 37: filter/INPUT rule 1: `--ctzone 3` is not understood",
            ),
        ),
        (
            "narrowed",
            vec![
                "-m conntrack --ctstate RELATED --ctdir ORIGINAL -j DROP",
                "-p tcp --dport ssh -j DROP",
            ],
            Ok("dropped: dropped by filter/INPUT rule 2"),
        ),
        (
            "ranges-and-kinds",
            vec![
                "-m iprange --src-range 10.0.0.3-10.0.0.9 -j DROP",
                "-m pkttype --pkt-type multicast -j DROP",
                "-m iprange ! --dst-range 10.0.0.3-10.0.0.9 -m pkttype --pkt-type unicast -j DROP",
            ],
            Ok("dropped: dropped by filter/INPUT rule 3"),
        ),
        (
            "time-to-live",
            vec!["-p tcp -j TTL --ttl-set 1"],
            Err(
                "dump.save: line 3, column 20: filter/INPUT rule 1: `-j TTL --ttl-set 1` is not understood",
            ),
        ),
        (
            "several-sources",
            vec!["-s 10.0.0.3,10.0.0.2 -j DROP"],
            Ok("dropped: dropped by filter/INPUT rule 2"),
        ),
        (
            "no-mask",
            vec!["-s 0/0 -p gre -j ACCEPT", "-s 10/8 -j DROP"],
            Ok("dropped: dropped by filter/INPUT rule 2"),
        ),
    ] {
        check_input(name, &rules, expected);
    }
}

#[test]
fn an_unknown_statement_is_asked_only_if_it_decides() {
    for (name, rules, expected) in [
        (
            "nft-fails-before",
            vec!["udp dport 53 queue to 1"],
            Ok(PROCESS),
        ),
        (
            "nft-logs",
            vec!["limit rate 3/minute log prefix \"x\" level info flags all"],
            Ok(PROCESS),
        ),
        (
            "nft-clamps",
            vec!["tcp option maxseg size set rt mtu drop"],
            Ok("dropped: dropped by inet t/c rule 1"),
        ),
        (
            "nft-counts",
            vec!["counter name \"c\" meta nftrace set 1 drop"],
            Ok("dropped: dropped by inet t/c rule 1"),
        ),
        (
            "nft-limits",
            vec!["tcp dport 22 limit rate over 3/minute burst 5 packets drop"],
            Err(
                "dump.nft: line 7, column 16: inet t/c rule 1: `limit rate over 3/minute burst 5 packets` is not understood",
            ),
        ),
        (
            "nft-queues",
            vec!["tcp dport 22 queue flags bypass to 1-3"],
            Err(
                "dump.nft: line 7, column 16: inet t/c rule 1: `queue flags bypass to 1-3` is not understood",
            ),
        ),
        (
            "nft-missing-set",
            vec!["ether saddr @s drop", "ip saddr @nowhere drop"],
            Err("dump.nft: line 7, column 3: inet t/c rule 1: `ether saddr @s` is not understood"),
        ),
        (
            "nft-missing-chain",
            vec![
                "ip saddr 10.0.0.3 jump nowhere",
                "ip saddr vmap { 10.0.0.3 : jump nowhere, 10.0.0.2 : goto nowhere }",
            ],
            Err("dump.nft: line 8, column 3: inet t/c rule 2: no chain nowhere"),
        ),
        (
            "nft-xt",
            vec![
                "xt match \"comment\" xt target \"LOG\"",
                "xt match \"recent\" counter packets 0 bytes 0 drop",
            ],
            Err(
                "dump.nft: line 8, column 3: inet t/c rule 2: `xt match \"recent\"` is not understood",
            ),
        ),
    ] {
        check_nft_input(name, &rules, expected);
    }
}

#[test]
fn what_stands_off_the_way_of_ip_is_read_over_with_a_note() {
    let folder = scratch("foreign-families");
    let text = "\u{feff}table bridge b { chain c { type filter hook input priority 0; policy drop; } }\n\
                table arp a { chain c { type filter hook input priority 0; policy drop; } }\n\
                table netdev n { chain c { type filter hook ingress device \"eth0\" priority 0; policy drop; } }\n\
                table inet i { flowtable f { hook ingress priority 0; devices = { eth0 } }\n\
                quota q { over 5 bytes }\n\
                chain c { type filter hook ingress device \"eth0\" priority 0; policy drop; }\n\
                chain d { type filter hook input priority 0; policy accept; flow add @f; } }\n\
                table ip d { flags dormant\n chain c { type filter hook input priority 0; policy drop; } }\n";
    fs::write(folder.join("dump.nft"), text).unwrap();
    let options = "--nft dump.nft --address 192.168.1.10";
    let output = trace(&folder, options, "tcp:10.0.0.2:40000>192.168.1.10:22");
    assert_eq!(outcomes(&output), [format!("100.0 %  {PROCESS}")]);
    assert_eq!(
        stderr(&output),
        "note: dump.nft: line 1, column 7: a table of the family bridge is not followed\n\
         note: dump.nft: line 2, column 7: a table of the family arp is not followed\n\
         note: dump.nft: line 3, column 7: a table of the family netdev is not followed\n\
         note: dump.nft: line 6, column 9: chain c at the hook ingress is not followed\n"
    );
}

#[test]
fn what_a_reader_may_have_forgotten_is_a_note() {
    let folder = scratch("forgotten");
    fs::write(folder.join("dump.save"), "").unwrap();
    let output = trace(
        &folder,
        "--iptables-save dump.save",
        "tcp:10.0.0.2:40000>192.168.1.10:22",
    );
    assert_eq!(
        stderr(&output),
        "note: no --address: a packet for the node itself counts as one for another host\n\
         note: dump.save: no tables are in it; dump them as root if the node has some\n"
    );
}

#[test]
fn the_way_in_is_known_on_the_way_out() {
    let folder = scratch("way-in");
    let text = "table ip n {\n\tchain c {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\
                \t\tiifname \"eth1\" oifname \"eth0\" masquerade\n\t}\n}\n";
    fs::write(folder.join("dump.nft"), text).unwrap();
    let options = "--nft dump.nft --address 192.168.1.10 --link eth1=10.0.0.0/24";
    let output = trace(&folder, options, "tcp:10.0.0.2:40000>1.2.3.4:22");
    assert_eq!(
        outcomes(&output),
        ["100.0 %  sent out of eth0, as from 192.168.1.10"]
    );
}

#[test]
fn files_that_cannot_be_read_at_all_name_the_line() {
    let folder = scratch("unreadable");
    fs::write(
        folder.join("dump.save"),
        "*filter\n:INPUT ACCEPT [0:0]\nWHAT\nCOMMIT\n",
    )
    .unwrap();
    fs::write(
        folder.join("dump.nft"),
        "table ip t {\n\tchain c {\n\t\ttype filter hook nowhere priority 0;\n\t}\n}\n",
    )
    .unwrap();
    let packet = "tcp:10.0.0.2:40000>192.168.1.10:22";
    check_unknown_in(
        &folder,
        "--iptables-save dump.save",
        packet,
        "dump.save: line 3, column 1: command \"WHAT\" is not supported; only -A is",
    );
    check_unknown_in(
        &folder,
        "--nft dump.nft",
        packet,
        "dump.nft: line 3, column 20: hook \"nowhere\" is not supported",
    );
    fs::write(
        folder.join("v4.save"),
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -s 10.0.0.0/8 -j ACCEPT\nCOMMIT\n",
    )
    .unwrap();
    check_unknown_in(
        &folder,
        "--iptables-save v4.save",
        "tcp:[fd00::1]:40000>[fd00::2]:22",
        "v4.save: line 3, column 13: \"10.0.0.0/8\" is not an IPv6 address or network",
    );
    fs::write(
        folder.join("loop.save"),
        "*filter\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n-A INPUT -j A\n-A A -j RETURN\n-A A -j REJECT\nCOMMIT\n*nat\n\
         :INPUT ACCEPT [0:0]\n-A INPUT -j MASQUERADE\nCOMMIT\n",
    )
    .unwrap();
    check_unknown_in(
        &folder,
        "--iptables-save loop.save",
        packet,
        "loop.save: line 10, column 1: IPv4 nat/INPUT rule 1: MASQUERADE is valid only in nat/POSTROUTING",
    );
}

#[test]
fn bytes_that_are_no_text_are_no_reason_to_refuse() {
    let folder = scratch("latin-1");
    let mut bytes = b"\xef\xbb\xbf# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment \"caf".to_vec();
    bytes.extend(b"\xe9\" -j DROP\nCOMMIT\n");
    fs::write(folder.join("dump.save"), bytes).unwrap();
    let options = "--iptables-save dump.save --address 192.168.1.10";
    let output = trace(&folder, options, "tcp:10.0.0.2:40000>192.168.1.10:22");
    assert_eq!(
        outcomes(&output),
        ["100.0 %  dropped: dropped by filter/INPUT rule 1"]
    );
    assert!(
        stderr(&output).contains("this is half of the node"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_restore_is_read_as_what_it_makes() {
    let folder = scratch("restore-input");
    let text = "*filter\n-P INPUT DROP\n-N OURS\n-N STALE\n-A OURS -p tcp --dport 22 -j ACCEPT\n-I INPUT -j OURS\n\
                -I INPUT 1 -s 10.0.0.2 -p udp -j DROP\n-F STALE\n-X STALE\nCOMMIT\n";
    fs::write(folder.join("dump.save"), text).unwrap();
    let options = "--iptables-save dump.save --address 192.168.1.10";
    let fate = |packet| outcomes(&trace(&folder, options, packet)).join("\n");
    assert_eq!(
        fate("tcp:10.0.0.2:1>192.168.1.10:22"),
        format!("100.0 %  {PROCESS}")
    );
    assert_eq!(
        fate("tcp:10.0.0.2:1>192.168.1.10:23"),
        "100.0 %  dropped: dropped by the policy of filter/INPUT"
    );
    assert_eq!(
        fate("udp:10.0.0.2:1>192.168.1.10:22"),
        "100.0 %  dropped: dropped by filter/INPUT rule 1"
    );
}

#[test]
fn a_table_may_stand_twice_if_one_does_nothing() {
    let folder = scratch("twice");
    let empty = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
    let drops = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    let also = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n";
    fs::write(folder.join("one.save"), [empty, drops].concat()).unwrap();
    fs::write(folder.join("two.save"), [drops, also].concat()).unwrap();
    let packet = "tcp:10.0.0.2:1>192.168.1.10:22";
    let options = "--iptables-save one.save --address 192.168.1.10";
    assert_eq!(
        outcomes(&trace(&folder, options, packet)),
        ["100.0 %  dropped: dropped by the policy of filter/INPUT"]
    );
    check_unknown_in(
        &folder,
        "--iptables-save two.save",
        packet,
        "two.save: line 7, column 1: table filter stands twice",
    );
}

#[test]
fn translations_onto_ranges_are_explored() {
    let folder = scratch("ranges");
    let text = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.5-10.0.0.6:80-90\n\
                -A PREROUTING -p tcp --dport 81 -j DNAT --to-destination :8080-8081\nCOMMIT\n";
    fs::write(folder.join("dump.save"), text).unwrap();
    let options = "--iptables-save dump.save --address 192.168.1.10";
    let fate = |packet| outcomes(&trace(&folder, options, packet));
    assert_eq!(
        fate("tcp:10.0.0.2:1>192.168.1.10:80"),
        [
            "50.0 %  sent out of eth0, to 10.0.0.5:80",
            "50.0 %  sent out of eth0, to 10.0.0.6:80"
        ]
    );
    assert_eq!(
        fate("tcp:10.0.0.2:1>192.168.1.10:81"),
        [
            "50.0 %  handed to a process of the node, to 192.168.1.10:8080",
            "50.0 %  handed to a process of the node, to 192.168.1.10:8081"
        ]
    );
}

#[test]
fn only_the_share_that_meets_it_is_unknown() {
    let folder = scratch("shares");
    let text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m statistic --mode random --probability 0.25 -j ACCEPT\n-A INPUT -j QUEUE\nCOMMIT\n";
    fs::write(folder.join("dump.save"), text).unwrap();
    let options = "--iptables-save dump.save --address 192.168.1.10 --output json";
    let output = trace(&folder, options, "tcp:10.0.0.2:1>192.168.1.10:22");
    assert_eq!(output.status.code(), Some(3));
    let found: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["kind"], "DumpTrace");
    assert_eq!(found["outcomes"][0]["p"], "1/4");
    assert_eq!(found["outcomes"][0]["outcome"], PROCESS);
    let expected = serde_json::json!({
        "p": "3/4",
        "outcome": "unknown",
        "rules": [],
        "unknown": {
            "reason": "filter/INPUT rule 2: `-j QUEUE` is not understood",
            "help": null,
            "file": "dump.save",
            "line": 4,
            "column": 13,
        },
    });
    assert_eq!(found["outcomes"][1], expected);
}
