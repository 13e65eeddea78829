//! `switchboard run` and `schema`, as a user runs them.

mod common;

use std::fs;

use common::{root, scratch, stderr, stdout, switchboard, with_input};

/// Two scenarios in one file, each in two modes; the second fails.
const TWO: &str = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: fine}
spec:
  cluster: {modes: [iptables, nftables], nodes: [{name: node-a}]}
  steps:
    - name: dns
      resolve: {from: node/node-a, name: kubernetes.default.svc.cluster.local.}
      expect: {rcode: NOERROR, within: 5s}
---
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: not-fine}
spec:
  cluster: {modes: [iptables, nftables], nodes: [{name: node-a}]}
  steps:
    - {wait: 1s, only: {modes: [iptables]}}
    - name: \"a <name> & \\\"more\\\"\"
      get: {resource: service/kubernetes, output: name}
      expect: {output: service/web}
";

#[test]
fn every_number_of_jobs_prints_the_same() {
    let folder = scratch("jobs");
    fs::write(folder.join("two.yaml"), TWO).unwrap();
    for output in ["human", "json", "junit"] {
        let run = |jobs: &str| {
            let args = ["run", "two.yaml", "--output", output, "--jobs", jobs];
            let seen = switchboard(&folder, &args);
            assert_eq!(seen.status.code(), Some(1), "{}", stderr(&seen));
            assert_eq!(stderr(&seen), "", "no bar without a terminal");
            stdout(&seen)
        };
        let one = run("1");
        assert!(
            one.contains("not-fine") || one.contains("kubernetes"),
            "{one}"
        );
        assert_eq!(one, run("2"));
        assert_eq!(one, run("8"));
    }
    let none = switchboard(&folder, &["run", "two.yaml", "--jobs", "0"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn junit_has_a_suite_for_each_run() {
    let folder = scratch("junit");
    fs::write(folder.join("two.yaml"), TWO).unwrap();
    let output = switchboard(&folder, &["run", "two.yaml", "--output", "junit"]);
    let text = stdout(&output);
    let count = |part: &str| text.matches(part).count();
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "));
    assert!(text.ends_with("</testsuites>\n"));
    assert_eq!((count("<testsuite "), count("</testsuite>")), (4, 4));
    assert_eq!(
        (count("<testcase "), count("<failure "), count("<skipped ")),
        (6, 2, 1)
    );
    assert!(
        text.contains("name=\"001 a &lt;name&gt; &amp; &quot;more&quot;\""),
        "{text}"
    );
    assert!(
        text.contains("tests=\"6\" failures=\"2\" errors=\"0\" skipped=\"1\""),
        "{text}"
    );
}

#[test]
fn questions_are_asked_of_standard_input() {
    let scenario = fs::read_to_string(root().join("scenarios/conformance/names.yaml")).unwrap();
    // What it names is beside where the command runs.
    let scenario = scenario.replace("manifests/", "scenarios/conformance/manifests/");
    let questions: [&[&str]; 5] = [
        &["get", "svc", "web", "--no-headers"],
        &["describe", "svc", "web"],
        &["rules", "--node", "node-a"],
        &["explain", "service/web"],
        &["trace", "--from", "pod/client", "--to", "web:80"],
    ];
    for question in questions {
        let output = with_input(&root(), &[question, &["--in", "-"]].concat(), &scenario);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{question:?}: {}",
            stderr(&output)
        );
        assert!(stdout(&output).contains("web"), "{question:?}");
    }
    let manifests = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}\n";
    let output = with_input(&root(), &["get", "svc", "web", "--in", "-"], manifests);
    assert!(stdout(&output).contains("10.96.0.7"), "{}", stderr(&output));
    let output = with_input(&root(), &["get", "svc", "--in", "-"], "kind: [");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("-:2:1: "), "{}", stderr(&output));
}

#[test]
fn the_schema_is_the_committed_one() {
    let output = switchboard(&root(), &["schema"]);
    let committed = fs::read_to_string(root().join("scenarios/schema.json")).unwrap();
    assert_eq!(stdout(&output), committed);
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(&switchboard(&root(), &["completions", shell]));
        for word in ["explain", "step", "update"] {
            assert!(script.contains(word), "{word} in {shell}");
        }
    }
    let output = switchboard(&root(), &["completions", "tcsh"]);
    assert_eq!(output.status.code(), Some(2));
}

const WRONG: &str = r#"# A file that a person wrote.
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: wrong}
spec:
  cluster: {modes: [iptables, nftables], nodes: [{name: node-a}], outside: [{name: laptop, address: 203.0.113.70}]}
  steps:
    - apply: |
        apiVersion: v1
        kind: Pod
        metadata: {name: one, labels: {app: web}}
        spec: {nodeName: node-a, containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: client}
        spec: {nodeName: node-a, containers: [{name: c, image: i}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {clusterIP: 10.96.0.7, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
    - wait: converged
    - resolve: {from: pod/client, name: web}
      expect: {rcode: NXDOMAIN, answers: [], queries: 1} # what a mistake
    - name: several-lines
      resolve: {from: pod/client, name: web.default}
      expect:
        # One query would be enough.
        queries: 1
        answers:
        - 10.96.0.8   # of yesterday
        - 10.96.0.9
    - connect: {from: pod/client, to: "web:80", count: 3}
      expect: {outcome: [refused, timeout], backends: {exactly: [pod/gone]}, peerSeen: 10.0.0.1, spread: uniform}
    - connect: {from: pod/client, to: "web:80", count: 3}
      expect: {outcomes: {connected: 1..2, refused: 1}}
    - get: {resource: service/web}
      expect:
        object:
          spec: {type: NodePort, clusterIP: 10.96.0.7, ports: []}   # type, ports
    - get: {resource: service/web, output: json}
      expect: {object: {spec: {type: LoadBalancer}}}
    - get: {resource: service/web, output: "jsonpath={.spec.type}"}
      expect: {object: {spec: {type: ExternalName}}}
    - get: {resource: service/web, output: name}
      expect:
        output: |
          service/wep
          and more

    - probe: {from: pod/client, to: "10.96.0.7:80"}
      expect: {backends: ["10.244.9.9:8080"], snat: false}
    - probe: {from: pod/client, to: "203.0.113.70:80"}
      expect: {verdict: reject}
    - delete: service/wep
      expect: {error: nothing}
    - rules: {node: node-a}
      expect: {contains: [KUBE-SERVICES], byMode: {nftables: {contains: [table ip kube-proxy]}}}
    # This holds in one mode and not in the other.
    - rules: {node: node-a}
      expect: {contains: [KUBE-SERVICES]}
"#;

/// Only what failed is written, and the file is otherwise the same: a second run has nothing left to write.
#[test]
fn what_was_seen_is_written_into_the_file() {
    let folder = scratch("update");
    let file = folder.join("wrong.yaml");
    fs::write(&file, WRONG).unwrap();
    let output = switchboard(&folder, &["run", "wrong.yaml", "--update"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = fs::read_to_string(&file).unwrap();
    let diff = WRONG.lines().filter(|line| !text.contains(line)).count();
    for line in [
        "      expect: {rcode: NOERROR, answers: [10.96.0.7], queries: 1} # what a mistake",
        "        # One query would be enough.",
        "        queries: 2",
        "        - 10.96.0.7",
        "      expect: {outcome: connected, backends: {exactly: [pod/one]}, peerSeen: 10.244.1.",
        "      expect: {outcomes: {connected: 3}}",
        "          spec: {type: ClusterIP, clusterIP: 10.96.0.7, ports: [{protocol: TCP, port: 80, targetPort: 8080}]}   # type, ports",
        "output: json}\n      expect: {object: {spec: {type: ClusterIP}}}",
        "output: \"jsonpath={.spec.type}\"}\n      expect: {object: {spec: {type: ClusterIP}}}",
        "        output: |\n          service/web\n\n    - probe",
        "      expect: {verdict: untouched}",
        "error: \"Error from server (NotFound): services \\\"wep\\\" not found\"}",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    assert!(diff < 16, "{diff} lines differ:\n{text}");
    let said = stderr(&output);
    assert!(
        said.contains("wrong.yaml:24: spec.steps[2].expect.rcode is NOERROR"),
        "{said}"
    );
    assert!(
        said.contains("it holds in another mode: say `byMode: {nftables: …}`"),
        "{said}"
    );
    let again = switchboard(&folder, &["run", "wrong.yaml", "--update"]);
    assert_eq!(again.status.code(), Some(1), "one expectation is left");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        text,
        "{}",
        stderr(&again)
    );
}

const COUNTED: &str = r#"apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: counted}
spec:
  cluster: {modes: [iptables], nodes: [{name: node-a}]}
  steps:
    - apply: |
        apiVersion: v1
        kind: Pod
        metadata: {name: one, labels: {app: web}}
        spec: {nodeName: node-a, containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: client}
        spec: {nodeName: node-a, containers: [{name: c, image: i}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {clusterIP: 10.96.0.7, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: lost}
        spec: {clusterIP: 10.96.0.8, selector: {app: wep}, ports: [{port: 80}]}
    - wait: converged
    - traffic: {id: load, from: pod/client, to: "web:80", rate: 10/s, for: 2s}
    - wait: 3s
    - stop: load
      expect: {failed: 3, connected: 1..2, new: {refused: 1.., connected: 20}, latency: {p50: 1s..}, backends: {count: 2}}
    - rules: {node: node-a}
      expect:
        # What stands below is all wrong.
        contains: [KUBE-NOWHERE]
        absent: [10.96.0.7, 10.96.0.9]
    - rules: {node: node-a}
      expect: {contains: [KUBE-SERVICES, KUBE-NOWHERE], within: 1s, byMode: {nftables: {contains: [table]}}}
    - explain: service/lost
      expect: {verdict: healthy, findings: [DBG-31]}
    - explain: service/lost
      expect: {findings: {contains: [DBG-31]}}
"#;

/// Counts of traffic, texts of rules and findings are written as values are: then all holds.
#[test]
fn counts_rules_and_findings_are_written() {
    let folder = scratch("update-counted");
    let file = folder.join("counted.yaml");
    fs::write(&file, COUNTED).unwrap();
    let output = switchboard(&folder, &["run", "counted.yaml", "--update"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = fs::read_to_string(&file).unwrap();
    for line in [
        "expect: {failed: 0, connected: 20, new: {refused: 0, connected: 20}, latency: {p50: ",
        "backends: {count: 1}}",
        "expect: {contains: [KUBE-SERVICES], within: 1s, byMode: {nftables: {contains: [table]}}, absent: [KUBE-NOWHERE]}",
        "expect: {verdict: broken, findings: [DBG-2",
        "expect: {findings: {contains: [DBG-2",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    let again = switchboard(&folder, &["run", "counted.yaml"]);
    assert_eq!(again.status.code(), Some(0), "{}\n{text}", stdout(&again));
}

const ANSWERS: &str = r#"apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: answers}
spec:
  cluster: {nodes: [{name: node-a, addresses: [192.168.1.1]}]}
  steps:
    - apply: |
        apiVersion: v1
        kind: Service
        metadata: {name: none}
        spec: {clusterIP: 10.96.0.8, selector: {app: none}, ports: [{port: 80}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: ghost}
        spec: {clusterIP: 10.96.0.77, ports: [{port: 80}]}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: ghost-1, labels: {kubernetes.io/service-name: ghost}}
        addressType: IPv4
        ports: [{port: 80}]
        endpoints: [{addresses: [10.250.0.9]}]
    - wait: converged
    - probe: {from: node/node-a, to: "10.96.0.8:80"}
      expect: {answered: true}
    - probe: {from: node/node-a, to: "10.96.0.77:80"}
      expect: {answered: true}
"#;

/// Nobody answers what is refused; of an endpoint without anybody nothing is known, so nothing is written.
#[test]
fn of_answers_what_is_known_is_written() {
    let folder = scratch("update-answers");
    let file = folder.join("answers.yaml");
    fs::write(&file, ANSWERS).unwrap();
    let output = switchboard(&folder, &["run", "answers.yaml", "--update"]);
    let said = stderr(&output);
    assert!(
        said.contains("answers.yaml:27: whether anybody answers is not known"),
        "{said}"
    );
    let text = fs::read_to_string(&file).unwrap();
    let left = ANSWERS.replacen("answered: true", "answered: false", 1);
    assert_eq!(text, left);
}
