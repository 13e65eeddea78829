//! `switchboard get` and `switchboard describe`, as a user runs them.

mod common;

use std::fs;
use std::path::Path;

use common::{root, scratch, stderr, stdout, switchboard, unbroken};

const SCENARIO: &str = "scenarios/clusterip.yaml";

fn run(args: &[&str]) -> std::process::Output {
    let instant = ["--in", SCENARIO, "--at", "publish", "--mode", "nftables"];
    switchboard(&root(), &[args, &instant].concat())
}

fn check(args: &[&str], code: i32, out: &str, err: &str) {
    let output = run(args);
    let header =
        "# scenario clusterip, mode nftables, seed 7, at 5.00212s, at the end of step publish\n";
    assert_eq!(stdout(&output), out);
    assert_eq!(stderr(&output), format!("{header}{err}"));
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn api_93_95_tables_at_an_instant() {
    check(
        &["get", "svc,endpointslices", "-o", "wide"],
        0,
        "NAME                              TYPE        CLUSTER-IP       EXTERNAL-IP   PORT(S)   AGE   SELECTOR\n\
         service/kubernetes                ClusterIP   10.96.0.1        <none>        443/TCP   5s    <none>\n\
         service/my-internal-backend-api   ClusterIP   10.103.183.221   <none>        80/TCP    2s    app=my-fancy-app,tier=backend\n\
         \n\
         NAME                                                           ADDRESSTYPE   PORTS   ENDPOINTS                          AGE\n\
         endpointslice.discovery.k8s.io/my-internal-backend-api-gsf49   IPv4          8080    10.244.1.3,10.244.2.3,10.244.2.4   2s\n",
        "",
    );
    check(
        &[
            "get",
            "po",
            "-l",
            "tier=backend",
            "--no-headers",
            "-o",
            "custom-columns=N:.metadata.name",
        ],
        0,
        "backend-1\nbackend-2\nbackend-3\n",
        "",
    );
    check(
        &["get", "svc", "-A", "-o", "name"],
        0,
        "service/kubernetes\nservice/my-internal-backend-api\nservice/kube-dns\n",
        "",
    );
}

#[test]
fn what_is_not_there() {
    check(
        &["get", "deploy"],
        0,
        "",
        "No resources found in default namespace.\n",
    );
    check(
        &["get", "svc", "wep"],
        1,
        "",
        "Error from server (NotFound): services \"wep\" not found\n",
    );
    check(
        &["get", "svc", "wep", "kubernetes", "-o", "name"],
        1,
        "service/kubernetes\n",
        "Error from server (NotFound): services \"wep\" not found\n",
    );
    check(
        &["describe", "ep", "wep"],
        1,
        "",
        "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n\
         Error from server (NotFound): endpoints \"wep\" not found\n",
    );
}

#[test]
fn api_96_a_service_with_its_endpoints() {
    check(
        &["describe", "svc/my-internal-backend-api"],
        0,
        "Name:                     my-internal-backend-api\n\
         Namespace:                default\n\
         Labels:                   <none>\n\
         Annotations:              <none>\n\
         Selector:                 app=my-fancy-app,tier=backend\n\
         Type:                     ClusterIP\n\
         IP Family Policy:         SingleStack\n\
         IP Families:              IPv4\n\
         IP:                       10.103.183.221\n\
         IPs:                      10.103.183.221\n\
         Port:                     <unset>  80/TCP\n\
         TargetPort:               8080/TCP\n\
         Endpoints:                10.244.1.3:8080,10.244.2.3:8080,10.244.2.4:8080\n\
         Session Affinity:         None\n\
         Internal Traffic Policy:  Cluster\n\
         Events:                   <none>\n",
        "",
    );
}

#[test]
fn bad_input_is_refused() {
    for (args, complaint) in [
        (&["get", "serivces"][..], "did you mean \"services\"?"),
        (&["get", "svc", "-o", "xml"], "unable to match a printer"),
        (
            &["get", "po", "-l", "a b"],
            "unable to parse requirement: found 'b'",
        ),
        (&["get", "po", "a", "-l", "a=b"], "name cannot be provided"),
        (&["get", "po", "a", "-A"], "across all namespaces"),
        (
            &["describe", "deploy"],
            "describing a Deployment is not supported",
        ),
    ] {
        let output = run(args);
        assert!(
            unbroken(&stderr(&output)).contains(complaint),
            "{}",
            stderr(&output)
        );
        assert_eq!(
            (output.status.code(), stdout(&output).as_str()),
            (Some(2), "")
        );
    }
}

#[test]
fn objects_that_cannot_be_asked_for_are_refused_in_kubectls_words() {
    for (words, expected) in [
        (
            &["foo"][..],
            "error: the server doesn't have a resource type \"foo\"\n",
        ),
        (
            &["svc,pods", "web"],
            "error: you must specify only one resource type when you name objects\n",
        ),
        (
            &["svc", "web", "-A"],
            "error: a resource cannot be retrieved by name across all namespaces\n",
        ),
    ] {
        for verb in ["get", "describe"] {
            let args = [&[verb], words].concat();
            let output = run(&args);
            let (code, said) = (output.status.code(), stderr(&output));
            assert_eq!((code, said.as_str()), (Some(2), expected), "{args:?}");
        }
    }
}

#[test]
fn the_default_instant_is_the_end_and_is_said() {
    let output = switchboard(&root(), &["get", "svc", "--in", SCENARIO]);
    let header = stderr(&output);
    assert!(
        header.starts_with("# scenario clusterip, mode ")
            && header.ends_with(", the end of the run\n"),
        "{header}"
    );
    assert!(stdout(&output).contains("heir"), "{}", stdout(&output));
}

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}";
const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: web}}, spec: {nodeName: n1, containers: [{name: c, image: i}]}}";

fn get(folder: &Path, args: &[&str]) -> String {
    let output = switchboard(folder, args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn manifests_without_a_scenario_have_a_default_cluster() {
    let folder = scratch("get-manifests");
    fs::write(folder.join("web.yaml"), SERVICE).unwrap();
    fs::write(folder.join("pods.json"), POD).unwrap();
    fs::write(folder.join("notes.txt"), "no manifest").unwrap();
    let both = get(&folder, &["get", "no,po", "-o", "name", "--in", "."]);
    assert_eq!(both, "node/n1\npod/a\n");
    let slices = get(
        &folder,
        &["get", "endpointslices", "--no-headers", "--in", "."],
    );
    assert!(slices.contains("10.244."), "{slices}");
    let one = get(
        &folder,
        &["get", "no,svc", "-o", "name", "--in", "web.yaml"],
    );
    assert_eq!(
        one,
        "node/node-a\nnode/node-b\nservice/kubernetes\nservice/web\n"
    );
}

#[test]
fn a_bad_manifest_is_shown_at_its_line() {
    let folder = scratch("get-bad-manifest");
    fs::write(folder.join("web.yaml"), SERVICE.replace("80", "80000")).unwrap();
    let output = switchboard(&folder, &["get", "svc", "--in", "web.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("web.yaml:1:"),
        "{}",
        stderr(&output)
    );
    fs::write(folder.join("web.yaml"), "").unwrap();
    let output = switchboard(&folder, &["get", "svc", "--in", "web.yaml"]);
    assert_eq!(output.status.code(), Some(2));
}
