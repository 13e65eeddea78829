//! `switchboard step`, by piping sessions into it.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{scratch, stderr, stdout, with_input};

const SCENARIO: &str = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: walk, title: A walk}
spec:
  cluster:
    modes: [iptables, nftables]
    nodes: [{name: node-a, addresses: [192.168.1.1]}, {name: node-b, addresses: [192.168.1.2]}]
    outside: [{name: laptop, address: 203.0.113.70}]
  manifests: [pods.yaml]
  steps:
    - wait: 3s
    - name: publish
      apply: |
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {clusterIP: 10.96.0.7, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
    - wait: converged
    - name: reach
      connect: {from: pod/client, to: \"web:80\"}
      expect: {outcome: connected}
";
const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {nodeName: node-a, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: node-b, containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
";
const ANOTHER: &str = "\
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {clusterIP: 10.96.0.8, selector: {app: nobody}, ports: [{port: 80}]}
";

fn session(folder: &Path, mode: &str, commands: &str) -> Output {
    fs::write(folder.join("walk.yaml"), SCENARIO).unwrap();
    fs::write(folder.join("pods.yaml"), PODS).unwrap();
    fs::write(folder.join("other.yaml"), ANOTHER).unwrap();
    with_input(folder, &["step", "walk.yaml", "--mode", mode], commands)
}

/// The whole session as its user sees it.
fn seen(name: &str, mode: &str, commands: &str) -> String {
    let output = session(&scratch(name), mode, commands);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    stdout(&output)
}

#[test]
fn forwards_and_backwards() {
    let commands =
        "where\nnext\nnext\nnext\nget svc\nback\nback\nget svc\nat 4s\nwhere\nnext\nnext\nnext\n";
    insta::assert_snapshot!(seen("step-walk", "iptables", commands));
}

#[test]
fn the_programs_of_a_pod() {
    let commands = "\
on pod/client
nslookup web
curl web
at 6s
nslookup web
nslookup web.default.svc.cluster.local.
nslookup nobody
curl http://web/index.html
curl -m 1 web:81
curl nobody
curl https://web
on outside/laptop
curl -m 1 10.96.0.7
on node/node-b
curl 10.96.0.7
";
    insta::assert_snapshot!(seen("step-pod", "iptables", commands));
}

#[test]
fn by_hand_it_stays_until_one_goes_back() {
    let commands = "\
next
next
next
apply -f other.yaml
on pod/client
curl other
do {wait: 5s}
curl -m 1 10.96.0.8
explain service/other
delete service/other service/nobody
get svc
apply -f other.yaml
next
kubectl get svc -o name
back
kubectl get svc -o name
apply -f nowhere.yaml
do {fly: away}
";
    insta::assert_snapshot!(seen("step-hand", "nftables", commands));
}

#[test]
fn rules_are_those_of_the_node_and_the_mode() {
    let commands = "iptables-save\nat 6s\niptables-save\nip6tables-save\nnft list ruleset\non pod/client\niptables-save\n";
    let text = seen("step-rules", "iptables", commands);
    let count = |part: &str| text.matches(part).count();
    // At the start the proxy has written what it needs for any Service.
    assert_eq!(
        count(":KUBE-SERVICES - "),
        6,
        "nat and filter, three times: {text}"
    );
    assert_eq!(count("-A KUBE-SERVICES -d 10.96.0.7/32"), 1, "{text}");
    assert_eq!(
        count("# nothing: the node's rules are those of iptables"),
        1,
        "{text}"
    );
    assert_eq!(count("without rules: say `on node/…`"), 1, "{text}");
    let text = seen(
        "step-nft",
        "nftables",
        "at 6s\nnft list ruleset\niptables-save\nnft flush ruleset\n",
    );
    assert!(
        text.contains("10.96.0.7 . tcp . 80 : goto service-"),
        "{text}"
    );
    assert!(
        text.contains("# nothing: the node's rules are those of nftables"),
        "{text}"
    );
    assert!(text.contains("supported here: nft list ruleset"), "{text}");
}

/// Its rules are counted as such: a virtual server is none, though it begins with `-A` as well.
#[test]
fn in_ipvs_mode_there_are_virtual_servers_and_sets() {
    let commands = "at 6s\nipvsadm -S -n\nipvsadm -Sn\nipset save\niptables-save\nnft list ruleset\n\
                    ipset list KUBE-CLUSTER-IP\nipset list NONE\nipset flush\nipvsadm -C\n";
    let text = seen("step-ipvs", "ipvs", commands);
    let count = |part: &str| text.matches(part).count();
    assert_eq!(count("-A -t 10.96.0.7:80 -s rr"), 2, "{text}");
    assert_eq!(count("create KUBE-CLUSTER-IP "), 1, "{text}");
    assert!(count("-A KUBE-SERVICES ") > 0, "{text}");
    assert_eq!(count("# nothing: the node's rules are those of ipvs"), 1);
    assert_eq!(
        count("\nName: KUBE-CLUSTER-IP\nType: hash:ip,port\nHeader: family inet"),
        1
    );
    assert_eq!(count("\n10.96.0.7,tcp:80\n"), 1, "{text}");
    assert_eq!(count("The set with the given name does not exist"), 1);
    assert!(text.contains("supported here: ipset list"), "{text}");
    assert!(text.contains("unexpected argument '-C'"), "{text}");
    let text = seen("step-no-ipvs", "iptables", "ipset save\nipvsadm -Ln\n");
    assert_eq!(text.matches("those of iptables").count(), 2, "{text}");
}

/// A connection that was made is counted where it was given, and stands in the table that the packets of its node made.
#[test]
fn connections_are_where_they_were_given() {
    let commands = "at 6s\non pod/client\ncurl web\nconntrack -L\non node/node-a\n\
                    conntrack -L -p tcp -d 10.96.0.7\nipvsadm -Ln\nconntrack -L -p gre\nconntrack\n";
    insta::assert_snapshot!(seen("step-connections", "ipvs", commands));
}

#[test]
fn pings() {
    let commands = "on pod/client\nping -c 1 web\nat 6s\nping -c 2 192.168.1.2\nping -c 2 -W 1 web\nping nobody\n\
                    on outside/laptop\nping -c 1 -W 1 10.96.0.7\nping fd00::1\nping a_b!\n";
    insta::assert_snapshot!(seen("step-ping", "nftables", commands));
}

/// What passed while the last command ran, and nothing before it.
#[test]
fn packets_that_passed() {
    let commands = "at 6s\non pod/client\ntcpdump -c 2\ncurl web\ntcpdump\ntcpdump -n port 53 and udp\n\
                    ping -c 1 192.168.1.2\ntcpdump icmp\non node/node-b\ncurl 10.96.0.7\ntcpdump -i any tcp port 8080\n\
                    tcpdump -i wlan0\ntcpdump proto gre\nback\ntcpdump\n";
    insta::assert_snapshot!(seen("step-packets", "iptables", commands));
}

const HELD: &str = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: held}
spec:
  cluster:
    modes: [iptables]
    nodes:
      - {name: node-a, zone: zone-1, addresses: [192.168.1.1]}
      - {name: node-b, zone: zone-2, addresses: [192.168.1.2]}
  manifests: [pods.yaml, other.yaml]
  steps:
    - apply: |
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {clusterIP: 10.96.0.7, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
    - wait: converged
    - open: {id: c1, from: pod/client, to: \"web:80\"}
    - traffic: {id: load, from: pod/client, to: \"web:80\", rate: 10/s}
    - fault: {kind: proxy-stall, node: node-a, id: f1}
    - wait: 1s
";

/// What earlier steps have opened and begun is gone on with, by its names.
#[test]
fn by_hand_it_goes_on() {
    let folder = scratch("step-held");
    fs::write(folder.join("held.yaml"), HELD).unwrap();
    fs::write(folder.join("pods.yaml"), PODS).unwrap();
    fs::write(folder.join("other.yaml"), ANOTHER).unwrap();
    let commands = "\
do {send: {on: c1}}
next
next
next
next
next
next
do {send: {on: c1, send: again}, expect: {outcome: connected}}
do {send: {on: c2}}
do {open: {id: c1, from: pod/client, to: \"web:80\"}}
do {close: c1}
do {close: c1}
do {open: {id: c1, from: pod/client, to: \"web:80\"}}
do {heal: f2}
do {heal: f1}
do {fault: {kind: zone-down, zone: zone-2, id: f2}}
do {wait: 1s}
do {stop: load}
do {stop: load}
do {heal: f2}
do wait 1s
do {}
do {fault: {kind: node-down, node: node-c}}
";
    let output = with_input(&folder, &["step", "held.yaml"], commands);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn a_packet_is_followed_from_where_one_is() {
    let text = seen(
        "step-trace",
        "iptables",
        "at 6s\non pod/client\ntrace web:80\ntrace --udp 10.96.0.10:53\ntrace web\n",
    );
    assert!(
        text.contains("pod/default/client → web:80   at 6s, mode iptables"),
        "{text}"
    );
    assert!(text.contains("KUBE-SVC-"), "{text}");
    assert!(text.contains("\"web\" is no target"), "{text}");
}

#[test]
fn whatever_is_typed_is_answered() {
    let commands = "help\n\n# a remark\nfly\nget\nget gizmos\nnext now\nat noon\non pod/nobody\non node/node-z\non service/web\ncurl\nquit\nnext\n";
    insta::assert_snapshot!(seen("step-typed", "iptables", commands));
}

/// What a command has done is told, whatever else it could not do.
#[test]
fn what_succeeds_in_part_is_told_in_whole() {
    let folder = scratch("step-part");
    let unfit = format!(
        "{ANOTHER}---\napiVersion: v1\nkind: Service\nmetadata: {{name: unfit}}\nspec: {{}}\n"
    );
    fs::write(folder.join("part.yaml"), unfit).unwrap();
    for (command, expected) in [
        (
            "apply -f part.yaml",
            "service/other created\nThe Service \"unfit\" is invalid: spec.ports: Required value\n",
        ),
        (
            "delete pod/client pod/nobody pod/web",
            "pod \"client\" deleted\npod \"web\" deleted\nError from server (NotFound): pods \"nobody\" not found\n",
        ),
        (
            "do {get: {resource: svc, output: name}, expect: {output: none}}",
            "service/kubernetes\nthe output is another one\n",
        ),
    ] {
        let output = session(&folder, "iptables", &format!("{command}\n"));
        let seen = stdout(&output);
        let said = seen
            .split_once(&format!("{command}\n"))
            .map(|(_, said)| said);
        assert_eq!(said, Some(expected), "{command}");
    }
}

#[test]
fn words_are_quoted_as_in_a_shell() {
    for (command, expected) in [
        (
            "kubectl get svc web -o 'jsonpath={.spec.clusterIP}'",
            "10.96.0.7",
        ),
        (
            "get svc -o jsonpath=\"{.items[*].metadata.name}\"",
            "kubernetes web",
        ),
        ("get pods -o name -l 'app in (web)'", "pod/web"),
        (
            "get svc -o 'jsonpath={.spec",
            "error: the quote ' is not ended",
        ),
        (
            "do {get: {resource: svc/web, output: \"name\"}}",
            "service/web",
        ),
    ] {
        let text = seen(
            "step-quotes",
            "iptables",
            &format!("next\nnext\n{command}\n"),
        );
        let said = text
            .split_once(&format!("{command}\n"))
            .map(|(_, said)| said.trim_end());
        assert_eq!(said, Some(expected), "{command}");
    }
}

/// As the tutorials have them.
#[test]
fn kubectl_changes_things() {
    let commands = "\
next
kubectl create -f other.yaml
kubectl label svc other tier=back
kubectl label svc/other tier=front
kubectl label --overwrite svc/other tier=front
kubectl label svc other tier=front
kubectl label svc other tier-
kubectl label svc other
kubectl patch svc other -p '{\"spec\": {\"selector\": {\"app\": \"web\"}}}'
kubectl patch svc other -p 'spec: {ports: [{port: 81, name: more}, {port: 80, name: web, targetPort: 8080}]}'
kubectl get svc other -o 'jsonpath={range .spec.ports[*]}{.name}={.port}>{.targetPort} {end}'
kubectl patch svc other -p 'spec: {ports: [{targetPort: 80}]}'
kubectl patch svc nobody -p 'spec: {}'
kubectl patch svc other -p '5'
kubectl patch svc other --type merge -p 'spec: {ports: [{port: 80, targetPort: 8080}]}'
kubectl patch svc other -p '[}'
do {wait: converged}
kubectl exec -it client -- curl -sS other
kubectl exec client -- wget -qO- http://other/
kubectl exec pod/client -- nslookup other
kubectl exec client -- iptables-save
kubectl exec nobody -- curl other
kubectl exec client -- cat
kubectl expose pod web --name again --port 80 --target-port 8080 --cluster-ip 10.96.0.9
kubectl expose pod web --name plain --cluster-ip 10.96.0.10
kubectl expose pod web --name plain --cluster-ip None
kubectl expose pod client --port 80
kubectl expose node node-a --port 80
kubectl get svc
kubectl delete -f other.yaml
kubectl delete -f nowhere.yaml
kubectl delete svc again plain
kubectl delete svc/nobody
kubectl delete svc
kubectl delete pod web -n default --grace-period 0
kubectl delete pod client --force --grace-period=0
kubectl create -f other.yaml
kubectl create -f other.yaml
kubectl scale deployment/web --replicas 2
kubectl scale deployment web api --replicas 2
kubectl rollout restart deployment web
kubectl rollout undo deployment web
";
    insta::assert_snapshot!(seen("step-kubectl", "iptables", commands));
}

/// The first commands of most tutorials.
#[test]
fn kubectl_makes_objects_of_words() {
    let commands = "\
kubectl create deployment hello --image=registry.example/team/echo:1.2 --replicas=2 --port=8080
kubectl create service clusterip hello --tcp=80:8080
kubectl create service nodeport open --tcp=80 --node-port=30080
kubectl create svc externalname alias --external-name=db.example.com
kubectl create service clusterip none --clusterip=None
kubectl create service clusterip nothing
kubectl create service clusterip bad --tcp=http
kubectl create ns shop
kubectl create ns shop
kubectl create deployment hello --image=nginx
kubectl create service clusterip hello --tcp=80
kubectl create service nodeport low --tcp=80 --node-port=80
kubectl create
kubectl create -f other.yaml deployment x --image y
kubectl run visitor --image=busybox
kubectl run visitor --image=busybox
kubectl run labelled --image=nginx --labels=app=hello,tier=x --port=8080
kubectl run bad --image=nginx --labels=app
do {wait: converged}
kubectl get deploy,svc,pods --show-labels
kubectl get svc hello -o 'jsonpath={.spec.ports}'
kubectl get deploy hello -o 'jsonpath={.spec.template.spec.containers[0].name}'
kubectl exec visitor -- curl hello
kubectl expose deployment hello --name again
kubectl expose deployment hello --name again
kubectl expose svc hello --name third --port 81 --target-port http --type NodePort
kubectl get svc again third -o 'jsonpath={range .items[*]}{.spec.selector} {.spec.ports[0].targetPort} {end}'
";
    insta::assert_snapshot!(seen("step-generate", "nftables", commands));
}

#[test]
fn answers_go_through_filters() {
    for (command, expected) in [
        ("iptables-save -t nat | grep 10.96.0.7/32 | wc -l", "2"),
        ("iptables-save | grep -c '^[*]'", "3"),
        ("iptables-save -t nat | grep -c '^[*]'", "1"),
        ("iptables-save -t raw | wc -l", "0"),
        (
            "iptables-save -t none | wc -l",
            "iptables-save: Cannot initialize: Table does not exist: none",
        ),
        ("kubectl -n kube-system get svc -o name", "service/kube-dns"),
        (
            "kubectl --namespace=kube-system get svc -o name",
            "service/kube-dns",
        ),
        ("kubectl get svc | grep -v NAME | grep -w web | wc -l", "1"),
        ("kubectl get svc -o name | tail -1", "service/web"),
        ("kubectl get svc -o name | head -n 1", "service/kubernetes"),
        (
            "kubectl get svc -o name | awk x",
            "supported behind a |: grep, head, tail, wc -l",
        ),
        (
            "kubectl get svc |",
            "error: a command is missing beside the |",
        ),
        ("kubectl get svc/nobody | grep nothing-of-it", ""),
    ] {
        let text = seen("step-filter", "iptables", &format!("at 6s\n{command}\n"));
        let said = text
            .split_once(&format!("{command}\n"))
            .map(|(_, said)| said.trim_end());
        assert_eq!(said, Some(expected), "{command}");
    }
}

/// As nslookup prints records of each kind.
#[test]
fn names_have_records_of_several_types() {
    for (query, expected) in [
        (
            "-type=SRV _http._tcp.web.default.svc.cluster.local",
            "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10#53\n\n** server can't find _http._tcp.web.default.svc.cluster.local: NXDOMAIN",
        ),
        (
            "-q=srv web.default.svc.cluster.local.",
            "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10#53\n\nweb.default.svc.cluster.local\tservice = 0 100 80 web.default.svc.cluster.local.",
        ),
        (
            "10.96.0.7",
            "7.0.96.10.in-addr.arpa\tname = web.default.svc.cluster.local.",
        ),
        (
            "-type=soa cluster.local.",
            "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10#53\n\ncluster.local\n\torigin = ns.dns.cluster.local\n\tmail addr = hostmaster.cluster.local\n",
        ),
        (
            "-type=LOC web",
            "error: invalid value 'LOC' for '--type <TYPE>'",
        ),
    ] {
        let commands = format!("at 6s\non pod/client\nnslookup {query}\n");
        let text = seen("step-records", "iptables", &commands);
        let said = text
            .split_once(&format!("nslookup {query}\n"))
            .map_or("", |(_, said)| said);
        assert!(said.starts_with(expected), "{query}:\n{said}");
    }
}

/// As `BusyBox` says it.
#[test]
fn wget_tells_what_went_wrong() {
    for (command, expected) in [
        ("wget -qO- http://web/x", "web"),
        ("wget -O- web", "Connecting to web (10.96.0.7:80)\nweb"),
        ("wget -qO- nobody:81", "wget: bad address 'nobody:81'"),
        ("wget -q -T 1 -O - 10.244.77.1", "wget: download timed out"),
        (
            "wget -qO- 192.168.1.2:81",
            "wget: can't connect to remote host (192.168.1.2): Connection refused",
        ),
        (
            "wget -qO- ftp://web",
            "wget: (1) Protocol \"ftp\" not supported: write http://…",
        ),
        (
            "wget -O index.html web",
            "supported here: wget -qO- URL, which writes no file",
        ),
    ] {
        let commands = format!("at 6s\non pod/client\n{command}\n");
        let text = seen("step-wget", "iptables", &commands);
        let said = text
            .split_once(&format!("{command}\n"))
            .map(|(_, said)| said.trim_end());
        assert_eq!(said, Some(expected), "{command}");
    }
}

/// Who asks for what there is not is told what there is.
#[test]
fn what_is_supported_is_named() {
    let check = |command: &str, expected: &[&str]| {
        let text = seen("step-odd", "iptables", &format!("{command}\n"));
        for one in expected {
            assert!(text.contains(one), "{command}: {one:?} is not in\n{text}");
        }
        assert!(!text.contains("-- -"), "{text}");
    };
    check("conntrack -D", &["'-D' found", "-L, --dump", "--src"]);
    check("ping -i 1 web", &["'-i' found", "-W <SECONDS>"]);
    check("kubectl get pods --fly", &["'--fly' found", "--selector"]);
    check("nft", &["supported here: nft list ruleset"]);
    check("nft -a list ruleset", &["list ruleset"]);
    check("ipset", &["supported here: ipset list [NAME], ipset save"]);
    check("tcpdump -i eth7", &["No such device", "any, eth0"]);
    check("tcpdump -nn -c 1", &["0 packets captured"]);
    check("tcpdump -c 0", &["0 is not in 1"]);
    check("conntrack -p", &["a value is required for '--proto"]);
    check(
        "do {swim: 1}",
        &["unknown key `swim`", "help: known here: ", "resolve"],
    );
    check(
        "do {wait: 1s, fly: 1, swim: 2}",
        &["2 problems", "unknown key `fly`", "unknown key `swim`"],
    );
}

/// kube-proxy in mode iptables leaves what IPVS mode has written.
#[test]
fn what_another_mode_has_left_is_shown() {
    let switch = "at 6s\ndo {proxy: {node: node-a, set: {mode: iptables}, restart: true}}\ndo {wait: 5s}\non node/node-a\n";
    let answer = |command: &str| seen("step-left", "ipvs", &format!("{switch}{command}\n"));
    let list = answer("ipvsadm -L -n");
    assert!(list.contains("TCP  10.96.0.7:80 rr"), "{list}");
    let list = answer("ipset list KUBE-CLUSTER-IP");
    assert!(list.contains("10.96.0.7,tcp:80"), "{list}");
    let list = answer("ipset list KUBE-NONE");
    assert!(list.contains("does not exist"), "{list}");
    let saved = answer("iptables-save");
    assert!(saved.contains(":KUBE-SVC-"), "{saved}");
    assert!(saved.contains(":KUBE-IPVS-FILTER"), "{saved}");
    let none = answer("nft list ruleset");
    assert!(
        none.contains("# nothing: the node's rules are those of iptables"),
        "{none}"
    );
}

#[test]
fn a_file_that_is_none_is_bad_input() {
    let output = common::switchboard(&scratch("step-none"), &["step", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("nowhere.yaml"),
        "{}",
        stderr(&output)
    );
}
