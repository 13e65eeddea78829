//! Every command of the recordings of kubectl 1.36, replayed on the same cluster: the texts are the same, to the byte.
//!
//! What the clock said is not recorded, so each command may choose its second, but none before that of the command
//! ahead of it.

use std::collections::BTreeMap;

use api::Selector;
use api::yaml::{Source, split};
use api::{
    ApiConfig, ApiServer, DeleteOptions, Kind, Object, ObjectKey, Status, decode, parse_timestamp,
};
use base::{Seed, SimTime};
use serde_json::{Value, json};
use switchboard_kubectl::{Describe, Get, Objects, Output, Printed, Resources, Scope};

const MATCHED: &str = include_str!("recorded/matched.md");
const MISMATCHED: &str = include_str!("recorded/mismatched.md");
const HEADLESS: &str = include_str!("recorded/headless.md");
const CLUSTER: &str = include_str!("recorded/cluster.yaml");

/// Recorded commands that are not replayed, and why.
const NOT_REPLAYED: [(&str, &str); 2] = [
    (
        "explain service.spec.ports",
        "the texts of the OpenAPI schema are no part of this program",
    ),
    (
        "api-resources",
        "it lists what a server serves; this one knows fewer kinds",
    ),
];
/// The longest time from one command to the next.
const STEP_SECONDS_MAX: u64 = 3;
const SECOND: u64 = 1_000_000_000;

/// A command and what kubectl 1.36 wrote.
struct Recorded<'a> {
    command: &'a str,
    stdout: String,
    stderr: String,
}

fn recorded(page: &str) -> Vec<Recorded<'_>> {
    let mut found = Vec::new();
    for block in page.split("\nkubectl ").skip(1) {
        let Some(block) = block
            .strip_prefix("1.36, ")
            .or_else(|| block.strip_prefix("dispatcher, "))
        else {
            continue;
        };
        assert!(block.starts_with("exit 0\n"), "{block}");
        let (_, block) = block.split_once("```console\n$ kubectl ").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        let (command, output) = block.split_once('\n').unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        for line in output.split_inclusive('\n') {
            match line.strip_prefix("[stderr] ") {
                Some(line) => stderr.push_str(line),
                None => stdout.push_str(line),
            }
        }
        found.push(Recorded {
            command,
            stdout,
            stderr,
        });
    }
    found
}

fn output_of<'a>(page: &'a str, command: &str) -> String {
    let all: Vec<Recorded<'a>> = recorded(page);
    let one = all.into_iter().find(|recorded| recorded.command == command);
    one.unwrap_or_else(|| panic!("{command} is recorded"))
        .stdout
}

/// Objects as they are.
struct Cluster(BTreeMap<ObjectKey, Object>);

impl Objects for Cluster {
    fn get(&self, key: &ObjectKey) -> Result<Object, Status> {
        let found = self.0.get(key).cloned();
        found.ok_or_else(|| Status::not_found(key))
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Object> {
        let inside = |key: &ObjectKey| {
            let in_namespace = namespace.is_none_or(|name| key.namespace.as_deref() == Some(name));
            key.kind == kind && (in_namespace || !kind.is_namespaced())
        };
        let objects = self.0.iter().filter(|(key, _)| inside(key));
        objects.map(|(_, object)| object.clone()).collect()
    }
}

impl Cluster {
    /// The cluster of a recording.
    fn of(page: &str) -> Self {
        let mut cluster = Self(BTreeMap::new());
        cluster.add_yaml(CLUSTER);
        for command in [
            "get svc my-internal-backend-api -o yaml",
            "get endpoints my-internal-backend-api -o yaml",
            "get endpointslices -o yaml",
        ] {
            cluster.add_yaml(&output_of(page, command));
        }
        for pod in seed(page)
            .into_iter()
            .filter(|object| object.kind() == Kind::Pod)
        {
            cluster.add_pod(&pod);
        }
        for node in 1..=3 {
            cluster.add_node(node);
        }
        cluster.add_address();
        cluster.add_events(&output_of(page, "get events"));
        cluster
    }

    fn add(&mut self, kind: Kind, value: Value) {
        let Value::Object(fields) = value else {
            panic!("an object is a mapping")
        };
        self.put(Object::from_fields(kind, fields).unwrap());
    }

    fn put(&mut self, object: Object) {
        self.0.insert(object.key(), object);
    }

    fn add_yaml(&mut self, text: &str) {
        for object in objects(text) {
            self.put(object);
        }
    }

    fn service(&self) -> &Object {
        &self.0[&ObjectKey::new(Kind::Service, "default", "my-internal-backend-api")]
    }

    /// When the manifests were applied.
    fn applied(&self) -> SimTime {
        let created = self.service().meta().creation_timestamp.as_deref();
        parse_timestamp(created.unwrap()).unwrap()
    }

    /// A Pod of the manifests, with what a scheduler, admission and a kubelet had put into it.
    fn add_pod(&mut self, pod: &Object) {
        let mut value = Value::Object(pod.to_fields());
        let node = value["spec"]["nodeName"].as_str().unwrap().to_owned();
        let number = node.strip_prefix("node-").unwrap().to_owned();
        let zone = ["zone-a", "zone-b", "zone-c"][number.parse::<usize>().unwrap() - 1];
        let ip = value["metadata"]["annotations"]["oracle/ip"].clone();
        let meta = &mut value["metadata"];
        meta["labels"]["topology.kubernetes.io/zone"] = zone.into();
        meta["creationTimestamp"] = self.service().meta().creation_timestamp.clone().into();
        let spec = &mut value["spec"];
        spec["priority"] = 0.into();
        let gone = |what: &str| {
            json!({"key": format!("node.kubernetes.io/{what}"), "operator": "Exists", "effect": "NoExecute",
                   "tolerationSeconds": 300})
        };
        spec["tolerations"] = json!([gone("not-ready"), gone("unreachable")]);
        spec["containers"][0]["ports"][0]["protocol"] = "TCP".into();
        let holds = |name: &str| json!({"type": name, "status": "True"});
        let conditions = [
            "PodScheduled",
            "Initialized",
            "PodReadyToStartContainers",
            "ContainersReady",
            "Ready",
        ];
        value["status"] = json!({
            "phase": "Running", "hostIP": format!("192.168.10.1{number}"), "podIP": ip, "podIPs": [{"ip": ip}],
            "startTime": "2026-01-01T00:00:00Z", "qosClass": "BestEffort", "conditions": conditions.map(holds),
            "containerStatuses": [{
                "name": "c", "ready": true, "restartCount": 0, "image": "registry.example/app:1",
                "imageID": "x", "containerID": "containerd://0",
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }],
        });
        self.add(Kind::Pod, value);
    }

    fn add_node(&mut self, number: u8) {
        let name = format!("node-{number}");
        let zone = ["zone-a", "zone-b", "zone-c"][usize::from(number) - 1];
        let range = format!("10.244.{number}.0/24");
        let condition = |name: &str, status: &str, reason: &str, message: &str| {
            json!({"type": name, "status": status, "reason": reason, "message": message,
                   "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let pressure = |name: &str| condition(name, "False", "Ok", "ok");
        let resources = json!({"cpu": "8", "memory": "32Gi", "pods": "500"});
        self.add(
            Kind::Node,
            json!({
                "metadata": {
                    "name": name, "uid": format!("uid-of-{name}"), "creationTimestamp": "2026-11-22T08:47:33Z",
                    "labels": {
                        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
                        "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
                        "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone,
                    },
                },
                "spec": {"podCIDR": range, "podCIDRs": [range]},
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": format!("192.168.10.1{number}")},
                        {"type": "Hostname", "address": name},
                    ],
                    "capacity": resources, "allocatable": resources,
                    "conditions": [
                        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
                        pressure("MemoryPressure"), pressure("DiskPressure"), pressure("PIDPressure"),
                    ],
                    "nodeInfo": {
                        "machineID": "m", "systemUUID": "s", "bootID": "b", "kernelVersion": "6.18.0",
                        "osImage": "Debian GNU/Linux 12 (bookworm)", "operatingSystem": "linux",
                        "architecture": "amd64", "containerRuntimeVersion": "containerd://2.1.0",
                        "kubeletVersion": "v1.36.2",
                    },
                },
            }),
        );
    }

    fn add_address(&mut self) {
        let cluster_ip = self.service().as_service().unwrap().spec.cluster_ip.clone();
        if cluster_ip != "None" {
            let parent = json!({"resource": "services", "namespace": "default", "name": "my-internal-backend-api"});
            self.add(
                Kind::IpAddress,
                json!({"metadata": {"name": cluster_ip}, "spec": {"parentRef": parent}}),
            );
        }
    }

    /// Events in the order of the recorded table, each as long ago as it says.
    ///
    /// The table was recorded eleven seconds after the manifests were applied, as the ages beside it tell.
    fn add_events(&mut self, table: &str) {
        let now = self.applied().as_nanos() / SECOND + 11;
        let mut lines = table.lines();
        let header = lines.next().unwrap();
        let starts = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
            .map(|name| header.find(name).unwrap());
        for (index, line) in lines.enumerate() {
            let cell = |column: usize| {
                let end = starts.get(column + 1).map_or(line.len(), |end| *end);
                line[starts[column]..end].trim()
            };
            let (kind, name) = cell(3).split_once('/').unwrap();
            let kind = Kind::of_resource(kind).unwrap();
            let seen = api::timestamp(SimTime::from_nanos((now - seconds(cell(0))) * SECOND));
            let is_node = kind == Kind::Node;
            self.add(
                Kind::Event,
                json!({
                    "metadata": {"name": format!("event-{index:02}"), "namespace": "default"},
                    "type": cell(1), "reason": cell(2), "message": cell(4), "count": 1,
                    "firstTimestamp": seen, "lastTimestamp": seen,
                    "involvedObject": {
                        "kind": kind.name(), "name": name,
                        "namespace": if is_node { "" } else { "default" },
                        // kube-proxy's events of a node bear neither of its identities.
                        "uid": if cell(2) == "RegisteredNode" { format!("uid-of-{name}") } else { String::new() },
                    },
                    "source": {"component": if is_node { "node-controller" } else { "" }},
                }),
            );
        }
    }
}

/// `7m58s` in seconds; an age in minutes only is taken for one in the middle of its minute.
fn seconds(age: &str) -> u64 {
    let (mut total, mut number) = (0, 0);
    for char in age.chars() {
        match char {
            'm' => total += 60 * std::mem::take(&mut number),
            's' => total += std::mem::take(&mut number),
            digit => number = 10 * number + u64::from(digit.to_digit(10).unwrap()),
        }
    }
    match age.ends_with('m') && total >= 600 {
        true => total + 30,
        false => total,
    }
}

fn objects(text: &str) -> Vec<Object> {
    let documents = split(&Source::new("recorded.yaml", text)).unwrap();
    let manifests = documents
        .iter()
        .flat_map(|document| decode(document).unwrap_or_else(|why| panic!("{why}\n{text}")));
    manifests.map(|manifest| manifest.object).collect()
}

/// The recording's manifests.
fn seed(page: &str) -> Vec<Object> {
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let mut seed = objects(text);
    for object in &mut seed {
        "default".clone_into(&mut object.meta_mut().namespace);
    }
    seed
}

/// A command line as the program's own arguments spell it.
#[derive(Default)]
struct Line<'a> {
    words: Vec<&'a str>,
    all_namespaces: bool,
    output: Output,
    selector: Option<Selector>,
    show_labels: bool,
    no_headers: bool,
    sort_by: Option<&'a str>,
}

fn parsed(words: &str) -> Line<'_> {
    let mut line = Line::default();
    let mut words = words.split(' ');
    while let Some(word) = words.next() {
        match word {
            "-A" => line.all_namespaces = true,
            "-o" => line.output = words.next().unwrap().parse().unwrap(),
            "-l" => line.selector = Some(words.next().unwrap().parse().unwrap()),
            "--show-labels" => line.show_labels = true,
            "--no-headers" => line.no_headers = true,
            word => match word.strip_prefix("--sort-by=") {
                Some(path) => line.sort_by = Some(path),
                None => line.words.push(word),
            },
        }
    }
    line
}

/// Says what is asked for once; what is printed then depends on the clock only.
fn command(command: &str, cluster: Cluster) -> Box<dyn Fn(SimTime) -> Printed> {
    let (verb, words) = command.split_once(' ').unwrap();
    let line = parsed(words);
    let scope = match line.all_namespaces {
        true => Scope::All,
        false => Scope::Namespace("default".to_owned()),
    };
    let resources = Resources::parse(&line.words, &scope, line.selector.as_ref()).unwrap();
    match verb {
        "get" => {
            let get = Get {
                selector: line.selector,
                show_labels: line.show_labels,
                no_headers: line.no_headers,
                sort_by: line.sort_by.map(|path| path.parse().unwrap()),
                ..Get::new(resources, scope, line.output)
            };
            Box::new(move |now| get.print(&get.find(&cluster), now))
        }
        "describe" => {
            let describe = Describe::new(resources, scope, line.selector).unwrap();
            Box::new(move |now| describe.print(&cluster, now))
        }
        verb => panic!("{verb} is neither replayed nor listed as not replayed"),
    }
}

fn check(page: &str) {
    let mut now = Cluster::of(page).applied().as_nanos() / SECOND;
    let mut replayed = 0;
    for recorded in recorded(page) {
        if NOT_REPLAYED
            .iter()
            .any(|(command, _)| *command == recorded.command)
        {
            continue;
        }
        let print = command(recorded.command, Cluster::of(page));
        let expected = Printed {
            stdout: recorded.stdout,
            stderr: recorded.stderr,
            is_failure: false,
        };
        let at = |second: u64| print(SimTime::from_nanos(second * SECOND));
        let latest = now + if replayed == 0 { 10 } else { STEP_SECONDS_MAX };
        match (now..=latest).find(|second| at(*second) == expected) {
            Some(second) => now = second,
            None => {
                let printed = at(now);
                assert_eq!(
                    printed.stdout, expected.stdout,
                    "$ kubectl {}",
                    recorded.command
                );
                assert_eq!(printed, expected, "$ kubectl {}", recorded.command);
            }
        }
        replayed += 1;
    }
    assert!(replayed >= 32, "only {replayed} commands were replayed");
}

#[test]
fn api_93_94_95_96_matched() {
    check(MATCHED);
}

#[test]
fn api_93_94_95_96_mismatched() {
    check(MISMATCHED);
}

#[test]
fn api_93_94_95_96_headless() {
    check(HEADLESS);
}

#[test]
fn what_is_not_replayed_is_recorded() {
    let commands: Vec<&str> = recorded(MATCHED)
        .into_iter()
        .map(|recorded| recorded.command)
        .collect();
    for (command, _) in NOT_REPLAYED {
        assert!(commands.contains(&command), "{command}");
    }
}

fn server() -> ApiServer {
    let config = ApiConfig {
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(0),
    };
    ApiServer::new(config, SimTime::ZERO)
}

/// A Service that our own server stored prints as the recorded one, but for what a server chooses.
#[test]
fn a_stored_service_prints_as_the_recorded_one() {
    for page in [MATCHED, MISMATCHED, HEADLESS] {
        let wanted = output_of(page, "get svc my-internal-backend-api -o yaml");
        let mut server = server();
        let service = seed(page).swap_remove(0);
        server.apply(service, SimTime::ZERO).unwrap();
        let scope = Scope::Namespace("default".to_owned());
        let resources = Resources::parse(&["svc/my-internal-backend-api"], &scope, None).unwrap();
        let get = Get::new(resources, scope, Output::Yaml);
        let printed = get.print(&get.find(&server), SimTime::ZERO).stdout;
        assert_eq!(without_choices(&printed), without_choices(&wanted));
    }
}

fn without_choices(text: &str) -> String {
    let mut after_ips = false;
    let lines = text.lines().map(|line| {
        let chosen = [
            "  creationTimestamp: ",
            "  resourceVersion: ",
            "  uid: ",
            "  clusterIP: 10.",
        ];
        let is_chosen = chosen.iter().any(|start| line.starts_with(start));
        let is_address = after_ips && line.starts_with("  - 10.");
        after_ips = line == "  clusterIPs:";
        match line.split_once(':') {
            Some((field, _)) if is_chosen => format!("{field}: <chosen>\n"),
            _ if is_address => "  - <chosen>\n".to_owned(),
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// The recorded lines of `apply`, a second `apply` and `delete`.
#[test]
fn writes_are_reported_as_recorded() {
    for page in [MATCHED, MISMATCHED, HEADLESS] {
        let mut server = server();
        for verb in ["created", "unchanged"] {
            for object in seed(page) {
                let written = server.apply(object, SimTime::ZERO).unwrap();
                check_recorded_line(page, &written.to_string());
                assert!(written.to_string().ends_with(verb), "{written}");
            }
        }
        for object in seed(page) {
            let deleted = server.delete(&object.key(), &DeleteOptions::default(), SimTime::ZERO);
            check_recorded_line(page, &deleted.unwrap().to_string());
        }
    }
}

fn check_recorded_line(page: &str, line: &str) {
    assert!(page.lines().any(|recorded| recorded == line), "{line:?}");
}
