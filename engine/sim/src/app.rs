//! The applications that run in simulated Pods.
//!
//! A Pod's application listens where [`Application`] says and answers a request with one line: the Pod's name, then
//! where it runs and whom it sees. What a client learns about its backend it learns from that line, so a test would
//! notice if a reply came from somebody else.
//!
//! Over TCP it closes after one answer, as HTTP/1.0 does, unless what it gets begins with the line [`KEEP_ALIVE`]: then
//! every line after that one is a request, and the client closes.
//!
//! Deviation: cluster DNS says who it is, too, when it is sent a line of text, so that `connect` tells whether it is
//! reached. A real one takes the connection, and leaves what is not a message of DNS without an answer.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::{ANNOTATION_STATUS, Object, ObjectKey, ObjectMeta, Pod, PodSpec, Status};
use controllers::{Application, Manners};
use dns::{ClusterZone, Corefile, ResolvConf};
use ruleset::Protocol;

/// How a client begins that wants more than one answer on a connection.
pub(crate) const KEEP_ALIVE: &[u8] = b"keep-alive\n";
const PREFIX: &str = "switchboard.dev/";

/// What a Pod does with what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    /// Says who it is, after a while.
    Introduce {
        /// From a request to its answer.
        after: Duration,
    },
    /// Cluster DNS.
    Dns,
    /// A node's cache of cluster DNS.
    NodeCache,
}

impl App {
    /// After how long it says who it is to somebody who sent this; `None` where names are asked for. No message of DNS is
    /// text alone: each counts its questions in zeros and ones.
    pub(crate) fn introduces_after(self, bytes: &[u8]) -> Option<Duration> {
        let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        match self {
            Self::Introduce { after } => Some(after),
            Self::Dns | Self::NodeCache => bytes.iter().all(is_text).then_some(Duration::ZERO),
        }
    }
}

/// Where an application listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// The only address that it takes packets at, if it does not at all of the host's.
    pub(crate) only_at: Option<IpAddr>,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) app: App,
}

/// Who answers, for the answer's text.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    name: String,
    namespace: String,
    /// What all its answers begin with.
    begin: String,
}

/// What an answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Introduction<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) node: &'a str,
    pub(crate) address: SocketAddr,
    pub(crate) peer: SocketAddr,
}

impl Identity {
    pub(crate) fn new(name: &str, namespace: &str, node: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            begin: format!("{name} namespace={namespace} node={node} address="),
        }
    }

    /// Whether it is the application of this Pod.
    pub(crate) fn is(&self, pod: &ObjectKey) -> bool {
        pod.name == self.name && pod.namespace.as_ref() == Some(&self.namespace)
    }

    /// One line of text.
    pub(crate) fn introduce(&self, address: SocketAddr, peer: SocketAddr) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.begin.len() + ENDS_LEN);
        text.extend_from_slice(self.begin.as_bytes());
        push_socket(&mut text, address);
        text.extend_from_slice(b" peer=");
        push_socket(&mut text, peer);
        text.push(b'\n');
        text
    }
}

/// What two IPv4 sockets and the words around them take.
const ENDS_LEN: usize = 64;

/// Appends what `Display` shows. Every answer has two of them, and IPv4 is quickly written by hand.
fn push_socket(text: &mut Vec<u8>, socket: SocketAddr) {
    let SocketAddr::V4(socket) = socket else {
        let _ = write!(text, "{socket}");
        return;
    };
    for (octet, end) in socket.ip().octets().into_iter().zip(*b"...:") {
        push_number(text, octet.into());
        text.push(end);
    }
    push_number(text, socket.port());
}

fn push_number(text: &mut Vec<u8>, number: u16) {
    let (mut digits, mut begin, mut rest) = ([0; 5], 5, number);
    loop {
        begin -= 1;
        digits[begin] = b"0123456789"[usize::from(rest % 10)];
        rest /= 10;
        if rest == 0 {
            return text.extend_from_slice(&digits[begin..]);
        }
    }
}

impl<'a> Introduction<'a> {
    /// Reads a line that [`Identity::introduce`] wrote; `None` while it is not complete.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut words = line.split(' ');
        let name = words.next()?;
        let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
        Some(Self {
            name,
            namespace: value("namespace")?,
            node: value("node")?,
            address: value("address")?.parse().ok()?,
            peer: value("peer")?.parse().ok()?,
        })
    }
}

/// Where a Pod's application is reached.
///
/// Deviation: SCTP ports are not listened on; smoltcp has no SCTP.
pub(crate) fn listeners(pod: &Pod) -> Vec<Listener> {
    let is_dns = pod.metadata.namespace == "kube-system"
        && pod
            .metadata
            .labels
            .get("k8s-app")
            .is_some_and(|app| app == "kube-dns");
    let application = Application::of(pod);
    let mut listeners: Vec<Listener> = application
        .listens_at()
        .filter_map(|open| {
            let protocol = match open.protocol {
                api::Protocol::Tcp => Protocol::TCP,
                api::Protocol::Udp => Protocol::UDP,
                api::Protocol::Sctp => return None,
            };
            let after = application.respond_after;
            let app = if is_dns && open.port == 53 {
                App::Dns
            } else {
                App::Introduce { after }
            };
            Some(Listener {
                only_at: open.loopback,
                protocol,
                port: open.port,
                app,
            })
        })
        .collect();
    // Where a port is open to all, that it is open to the Pod itself says nothing more.
    listeners.sort_unstable_by_key(|one| (one.protocol, one.port, one.only_at));
    listeners.dedup_by(|later, earlier| {
        let is_covered = earlier.only_at.is_none() || earlier.only_at == later.only_at;
        is_covered && (earlier.protocol, earlier.port) == (later.protocol, later.port)
    });
    listeners
}

/// What a Pod is made from, and where it stands in `object`: itself, or a workload's template.
fn pod_of(object: &Object) -> Option<(&'static str, &ObjectMeta, &PodSpec)> {
    let template = match object {
        Object::Pod(pod) => return Some(("", &pod.metadata, &pod.spec)),
        Object::Deployment(workload) => &workload.spec.template,
        Object::ReplicaSet(workload) => &workload.spec.template,
        Object::StatefulSet(workload) => &workload.spec.template,
        Object::DaemonSet(workload) => &workload.spec.template,
        _ => return None,
    };
    Some(("spec.template.", &template.metadata, &template.spec))
}

/// Refuses what a Pod, or a workload's Pods, ask of an application and this version cannot do, and what the Corefile of
/// cluster DNS, in a cluster of this domain, asks of the server.
pub(crate) fn check(object: &Object, domain: &str) -> Result<(), Status> {
    if let Some(Err(error)) = Corefile::text_of(object).map(|text| Corefile::parse(text, domain)) {
        let limits = [("data.Corefile".to_owned(), error.to_string())];
        return Err(Status::not_supported(
            object.kind(),
            &object.meta().name,
            limits.to_vec(),
        ));
    }
    check_annotations(object)
}

/// Refuses annotations of ours that say nothing, or nothing where they stand.
pub(crate) fn check_annotations(object: &Object) -> Result<(), Status> {
    let mut limits = misplaced(object);
    if let Some((place, metadata, spec)) = pod_of(object) {
        let status = metadata.annotations.get(ANNOTATION_STATUS);
        if let Some(complaint) = status.and_then(|value| unknown_status(value)) {
            let field = format!("{place}metadata.annotations[{ANNOTATION_STATUS}]");
            limits.push((field, complaint));
        }
        for error in Application::check(&metadata.annotations) {
            let field = format!("{place}metadata.annotations[{}]", error.key);
            limits.push((field, error.message));
        }
        if spec.host_network && Manners::of(&metadata.annotations) == Manners::Blackhole {
            let text = "\"blackhole\" is not supported with hostNetwork: it would silence the node";
            let field = format!("{place}metadata.annotations[{PREFIX}hostile]");
            limits.push((field, text.to_owned()));
        }
    }
    if limits.is_empty() {
        return Ok(());
    }
    Err(Status::not_supported(
        object.kind(),
        &object.meta().name,
        limits,
    ))
}

/// Annotations of ours on anything but a Pod that say nothing there: what a Pod's application does is said by the Pod, or
/// by the template that it is made from.
fn misplaced(object: &Object) -> Vec<(String, String)> {
    if matches!(object, Object::Pod(_)) {
        return Vec::new();
    }
    let ours = object.meta().annotations.iter();
    let ours = ours.filter(|(key, _)| key.starts_with(PREFIX));
    let complaints = ours.filter_map(|(key, value)| {
        let complaint = match key.as_str() {
            ANNOTATION_STATUS => unknown_status(value)?,
            _ => Application::check_key(key).map_or_else(
                || "not supported here: it goes to a Pod, or to spec.template of a workload".into(),
                |unknown| unknown.message,
            ),
        };
        Some((format!("metadata.annotations[{key}]"), complaint))
    });
    complaints.collect()
}

/// What is wrong with this value of [`ANNOTATION_STATUS`].
fn unknown_status(value: &str) -> Option<String> {
    (value != "pinned").then(|| format!("{value:?} is not supported: supported is pinned"))
}

/// What an object asks for and this version stores without carrying it out.
pub(crate) fn warnings(object: &Object) -> Vec<String> {
    let Some((place, _, spec)) = pod_of(object) else {
        return Vec::new();
    };
    let containers = spec.containers.iter().enumerate();
    let asked = containers.flat_map(|(index, container)| {
        let hooks = container.lifecycle.as_deref();
        let pre_stop = hooks.and_then(|hooks| hooks.pre_stop.as_ref());
        let given = [
            (
                "lifecycle.postStart",
                hooks.is_some_and(|hooks| hooks.post_start.is_some()),
                "it takes no time",
            ),
            (
                "lifecycle.preStop",
                pre_stop.is_some_and(|hook| hook.sleep.is_none()),
                "it takes no time; `sleep` does",
            ),
        ];
        let given = given.into_iter().filter(|(_, given, _)| *given);
        given.map(move |(field, _, instead)| {
            format!(
                "{place}spec.containers[{index}].{field} is not carried out by this version of \
                 switchboard: {instead}"
            )
        })
    });
    asked.chain(option_warnings(place, spec)).collect()
}

/// Options of a Pod's resolver without an effect.
fn option_warnings(place: &str, spec: &PodSpec) -> Vec<String> {
    let Some(config) = &spec.dns_config else {
        return Vec::new();
    };
    let names = config.options.iter().map(|option| option.name.clone());
    let conf = ResolvConf {
        options: names.collect(),
        ..ResolvConf::default()
    };
    let unknown = conf.unknown_options();
    unknown
        .map(|unknown| format!("{place}spec.dnsConfig.options: {unknown}"))
        .collect()
}

/// The complete messages of DNS over TCP in `buffer`, answered; what is left of an incomplete one stays in it.
pub(crate) fn serve_dns_stream(zone: &ClusterZone, buffer: &mut Vec<u8>) -> Vec<u8> {
    let messages = dns::take_messages(buffer);
    let answers = messages
        .iter()
        .filter_map(|message| dns::serve(zone, message, dns::TCP_MAX));
    answers.flat_map(|answer| dns::framed(&answer)).collect()
}

#[cfg(test)]
mod tests {
    use dns::{Rcode, RecordType};

    use super::*;

    #[test]
    fn an_introduction_is_read_back() {
        let identity = Identity::new("web-1", "shop", "node-a");
        let address: SocketAddr = "10.244.1.2:8080".parse().unwrap();
        let peer: SocketAddr = "[fd00::2]:40000".parse().unwrap();
        let line = identity.introduce(address, peer);
        assert_eq!(
            String::from_utf8_lossy(&line),
            "web-1 namespace=shop node=node-a address=10.244.1.2:8080 peer=[fd00::2]:40000\n"
        );
        let read = Introduction::parse(&line).unwrap();
        assert_eq!(
            (read.name, read.address, read.peer),
            ("web-1", address, peer)
        );
        assert_eq!(
            Introduction::parse(&line[..line.len() - 1]),
            None,
            "not complete"
        );
    }

    #[test]
    fn sockets_are_written_as_they_are_shown() {
        for socket in [
            "0.0.0.0:0",
            "10.0.200.255:65535",
            "1.23.100.9:80",
            "[::1]:7",
        ] {
            let mut text = Vec::new();
            push_socket(&mut text, socket.parse().unwrap());
            assert_eq!(String::from_utf8(text).unwrap(), socket);
        }
    }

    #[test]
    fn dns_over_tcp_waits_for_whole_messages() {
        let zone = ClusterZone::new("cluster.local");
        let query = dns::query(9, "web.default.svc.cluster.local", RecordType::A).unwrap();
        let mut stream = u16::try_from(query.len()).unwrap().to_be_bytes().to_vec();
        stream.extend(&query);
        let mut buffer = stream[..10].to_vec();
        assert!(serve_dns_stream(&zone, &mut buffer).is_empty());
        buffer.extend(&stream[10..]);
        let answer = serve_dns_stream(&zone, &mut buffer);
        let (id, _, response) = dns::parse_response(&answer[2..]).unwrap();
        assert_eq!((id, response.rcode), (9, Rcode::NxDomain));
        assert!(buffer.is_empty());
    }
}
