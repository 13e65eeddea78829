//! What the README and the book show is what the command prints.
//!
//! To bring them up to date: `UPDATE_DOCS=1 cargo test -p switchboard-cli --test docs`.

#[path = "../common/mod.rs"]
mod common;
mod labs;

use std::fs;

use common::{root, scratch, stderr, stdout, switchboard, with_input};

/// What the scenario in the book builds on.
const WEB: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

#[test]
fn the_readme_shows_a_real_run() {
    let output = stdout(&switchboard(
        &root(),
        &["run", "scenarios/clusterip.yaml", "--mode", "iptables"],
    ));
    check("README.md", "run", &output);
}

#[test]
fn the_readme_shows_real_tables() {
    let args = [
        "get",
        "svc,endpointslices,pods",
        "-o",
        "wide",
        "--in",
        "scenarios/clusterip.yaml",
        "--at",
        "publish",
    ];
    let output = switchboard(&root(), &args);
    let shown = format!("{}{}", stderr(&output), stdout(&output));
    check("README.md", "get", &shown);
}

#[test]
fn the_book_shows_a_real_trace() {
    let args = [
        "trace",
        "--in",
        "scenarios/clusterip.yaml",
        "--at",
        "publish",
        "--from",
        "pod/client",
        "--to",
        "my-internal-backend-api:80",
    ];
    let output = stdout(&switchboard(&root(), &args));
    check("book/src/the-walk-of-one-packet.md", "trace", &output);
}

#[test]
fn the_book_shows_a_real_session() {
    let commands = "at 4s\non pod/client\ncurl my-internal-backend-api\nnext\n\
                    do {wait: 2s}\nnslookup my-internal-backend-api\ncurl my-internal-backend-api\n";
    let args = ["step", "scenarios/clusterip.yaml", "--mode", "iptables"];
    let output = stdout(&with_input(&root(), &args, commands));
    check("book/src/scenarios.md", "step", &output);
}

/// The example of the chapter runs as it stands there.
#[test]
fn the_scenario_in_the_book_passes() {
    let folder = scratch("book");
    let text = fs::read_to_string(root().join("book/src/scenarios.md")).unwrap();
    let (_, rest) = text.split_once("```yaml\n").expect("the block begins");
    let (example, _) = rest.split_once("```").expect("the block ends");
    fs::write(folder.join("first.yaml"), example).unwrap();
    fs::write(folder.join("web.yaml"), WEB).unwrap();
    let output = switchboard(&folder, &["run", "first.yaml"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}

#[test]
fn the_book_shows_real_lookups() {
    for (block, lookup) in [
        ("search", &["cart.billing"][..]),
        ("world", &["api.example.com", "--type", "A"]),
        ("headless", &["db", "--type", "SRV"]),
    ] {
        let place = ["--in", "scenarios/dns.yaml", "--from", "pod/client"];
        let output = switchboard(&root(), &[&["resolve"], lookup, &place].concat());
        check("book/src/dns.md", block, &stdout(&output));
    }
}

/// What the page on ClusterIPs shows of the Service.
fn at_publish<'a>(command: &[&'a str]) -> Vec<&'a str> {
    let instant = ["--in", "scenarios/clusterip.yaml", "--at", "publish"];
    [command, &instant].concat()
}

#[test]
fn the_book_shows_a_service_its_slice_and_its_health() {
    const PAGE: &str = "book/src/clusterip.md";
    let service = "service/my-internal-backend-api";
    for (block, command) in [
        ("service", &["get", service][..]),
        ("slices", &["get", "endpointslices"]),
        ("explain", &["explain", service]),
    ] {
        check(
            PAGE,
            block,
            &stdout(&switchboard(&root(), &at_publish(command))),
        );
    }
    let rules = ["rules", "--node", "node-a", "--mode", "iptables"];
    let rules = stdout(&switchboard(&root(), &at_publish(&rules)));
    let of_the_service: String = rules
        .split_inclusive('\n')
        .filter(|line| line.contains("my-internal-backend-api"))
        .collect();
    check(PAGE, "rules", &of_the_service);
}

#[test]
fn the_book_shows_the_request_in_each_mode() {
    for mode in ["nftables", "flat", "ipvs"] {
        let trace = ["trace", "--mode", mode, "--from", "pod/client"];
        let to = ["--to", "my-internal-backend-api:80"];
        let trace = at_publish(&[&trace[..], &to].concat());
        let output = stdout(&switchboard(&root(), &trace));
        let request = output.find("\nrequest\n").expect("there is a request");
        let reply = output.find("\nreply\n").expect("there is a reply");
        check("book/src/modes.md", mode, &output[request + 1..reply]);
    }
}

/// Where two modes differ, about what begins with a text.
fn difference(modes: [&str; 2], about: &str) -> String {
    let of = ["matrix", "--in", "scenarios/leaving-ipvs.yaml"];
    let at = ["--at", "as-it-was", "--mode", modes[0], "--diff", modes[1]];
    let output = stdout(&switchboard(&root(), &[&of[..], &at].concat()));
    let mut is_asked = true;
    let mut shown = String::new();
    for line in output.split_inclusive('\n') {
        if line.starts_with("service/") {
            is_asked = line.starts_with(&format!("service/default/{about}"));
        }
        if is_asked {
            shown.push_str(line);
        }
    }
    shown
}

#[test]
fn the_book_shows_what_leaving_ipvs_changes() {
    const PAGE: &str = "book/src/leaving-ipvs.md";
    for (block, about) in [
        ("cache", "cache"),
        ("metrics", "metrics 80/TCP, ClusterIP"),
        ("shop", "shop 80/TCP, LoadBalancer"),
        ("open", "open"),
    ] {
        check(PAGE, block, &difference(["ipvs", "nftables"], about));
    }
    let at_home = "open 80/TCP, NodePort 30080 at 127.0.0.1";
    check(
        PAGE,
        "localhost",
        &difference(["ipvs", "iptables"], at_home),
    );
    check(PAGE, "flat", &difference(["nftables", "flat"], ""));
    for (block, scenario, from) in [
        ("switch", "leaving-ipvs", "switch-c"),
        ("iptables", "whatif/left-by-ipvs", "one-node-changes"),
    ] {
        let run = ["run", &format!("scenarios/{scenario}.yaml")];
        let output = stdout(&switchboard(&root(), &run));
        check(PAGE, block, &steps_from(&output, from));
    }
}

/// The steps of a run from one on, and when proxies started. Other happenings, which are indented less than what belongs
/// to a step, are left out.
fn steps_from(output: &str, name: &str) -> String {
    let lines = output.split_inclusive('\n');
    let steps = lines.skip_while(|line| !line.contains(name));
    let is_own = |line: &&str| !line.starts_with(' ') || line.starts_with("      ");
    let shown: String = steps
        .filter(|line| is_own(line) || line.contains("starts in mode"))
        .collect();
    assert!(!shown.is_empty(), "no step {name}: {output}");
    shown
}

#[test]
fn the_book_shows_a_real_explanation() {
    let args = ["explain", "--in", "scenarios/labs/selector-mismatch/"];
    let output = stdout(&switchboard(&root(), &args));
    check("book/src/pitfalls.md", "explain", &output);
}

/// Compares what stands between two marks with an output.
fn check(file: &str, name: &str, output: &str) {
    check_block(file, name, &format!("```text\n{output}```\n"));
}

/// Compares (or, if asked to, replaces) what stands between `<!-- name:begin -->` and `<!-- name:end -->`.
fn check_block(file: &str, name: &str, wanted: &str) {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let (before, rest) = text.split_once(&begin).expect("the block begins");
    let (_, after) = rest.split_once(&end).expect("the block ends");
    check_file(file, &format!("{before}{begin}{wanted}{end}{after}"));
}

/// Compares (or, if asked to, replaces) a file.
fn check_file(file: &str, wanted: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(&path, wanted).unwrap();
    }
    let shown = fs::read_to_string(&path).unwrap_or_default();
    let differing = shown
        .lines()
        .zip(wanted.lines())
        .find(|(shown, wanted)| shown != wanted);
    assert!(
        shown == wanted,
        "{file} is out of date (first difference: {differing:?}): run `UPDATE_DOCS=1 cargo test -p switchboard-cli --test docs`"
    );
}
