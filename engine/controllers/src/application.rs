//! What the simulated application in a Pod does: its ports, and what annotations say about it.
//!
//! **What.** An application listens on its containers' ports, sidecars' included, from the moment its containers run.
//! `switchboard.dev/listen` gives other addresses and ports, `…/start-delay` puts off listening, `…/hostile` has it refuse or
//! ignore whoever calls, `…/respond-after` has it think before every answer, and `…/on-term` says whether SIGTERM makes it
//! close its ports and hang up (`close`, the default) or go on until it is killed (`drain`).
//! **Why.** The kubelet's probes and the network ask the same application.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use api::{Pod, Protocol, StringMap};
use base::parse_duration;

const PREFIX: &str = "switchboard.dev/";
const LISTEN: &str = "listen";
const START_DELAY: &str = "start-delay";
const RESPOND_AFTER: &str = "respond-after";
const ON_TERM: &str = "on-term";
const HOSTILE: &str = "hostile";
const KEYS: [&str; 6] = [
    LISTEN,
    START_DELAY,
    RESPOND_AFTER,
    ON_TERM,
    HOSTILE,
    // Of any object: `api` reads it.
    "status",
];

/// The application of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// Where it listens, in the order of the manifest.
    pub ports: Vec<ListenPort>,
    /// From the start of its containers to its listening.
    pub start_delay: Duration,
    /// From a request to its answer. Probes do not wait for it.
    pub respond_after: Duration,
    /// What SIGTERM means to it.
    pub on_term: OnTerm,
    /// How it treats those who call.
    pub manners: Manners,
}

/// A port that an application listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenPort {
    /// The loopback address, if it is open there alone.
    pub loopback: Option<IpAddr>,
    /// The number.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
}

impl ListenPort {
    /// Whether others reach it.
    #[must_use]
    pub const fn is_reachable(&self) -> bool {
        self.loopback.is_none()
    }
}

/// What SIGTERM means to an application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTerm {
    /// It closes its ports and hangs up, whatever it still owes.
    #[default]
    Close,
    /// It goes on until it is killed.
    Drain,
}

/// How an application treats those who call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// It answers.
    #[default]
    Polite,
    /// It does not listen at all.
    Refuse,
    /// Its host takes every packet and answers none.
    Blackhole,
}

/// An annotation that does not say what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationError {
    /// The annotation's key.
    pub key: String,
    /// What is wrong, and what is expected.
    pub message: String,
}

impl Application {
    /// That of a stored Pod. Annotations that [`Application::check`] complains of are as if they were not there.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let annotations = &pod.metadata.annotations;
        Self {
            ports: read(annotations, LISTEN, ports)
                .ok()
                .flatten()
                .unwrap_or_else(|| container_ports(pod)),
            start_delay: value(annotations, START_DELAY, duration),
            respond_after: value(annotations, RESPOND_AFTER, duration),
            on_term: value(annotations, ON_TERM, on_term),
            manners: Manners::of(annotations),
        }
    }

    /// What is wrong with the annotations of a Pod or of a template.
    #[must_use]
    pub fn check(annotations: &StringMap) -> Vec<ApplicationError> {
        let errors = [
            read(annotations, LISTEN, ports).err(),
            read(annotations, START_DELAY, duration).err(),
            read(annotations, RESPOND_AFTER, duration).err(),
            read(annotations, ON_TERM, on_term).err(),
            read(annotations, HOSTILE, manners).err(),
        ];
        let unknown = annotations.keys().filter_map(|key| Self::check_key(key));
        errors.into_iter().flatten().chain(unknown).collect()
    }

    /// An annotation that is ours by its name and says nothing to an application.
    #[must_use]
    pub fn check_key(key: &str) -> Option<ApplicationError> {
        let name = key.strip_prefix(PREFIX)?;
        (!KEYS.contains(&name)).then(|| ApplicationError {
            key: key.to_owned(),
            message: format!("not supported: supported are {}", KEYS.join(", ")),
        })
    }

    /// Whether somebody elsewhere gets an answer at this TCP port, once it has started.
    #[must_use]
    pub fn answers(&self, port: i32) -> bool {
        let mut open = self.open_ports();
        open.any(|open| i32::from(open.port) == port && open.protocol == Protocol::Tcp)
    }

    /// The ports at which it is reached, once it has started.
    pub fn open_ports(&self) -> impl Iterator<Item = &ListenPort> {
        self.listens_at().filter(|port| port.is_reachable())
    }

    /// All ports that it listens on, once it has started.
    pub fn listens_at(&self) -> impl Iterator<Item = &ListenPort> {
        let polite = self.manners == Manners::Polite;
        self.ports.iter().filter(move |_| polite)
    }
}

impl Manners {
    /// Those that a Pod's annotations, or a template's, ask for.
    #[must_use]
    pub fn of(annotations: &StringMap) -> Self {
        value(annotations, HOSTILE, manners)
    }
}

fn container_ports(pod: &Pod) -> Vec<ListenPort> {
    let ports = pod
        .serving_containers()
        .flat_map(|container| &container.ports);
    let ports = ports.filter_map(|port| {
        Some(ListenPort {
            loopback: None,
            port: u16::try_from(port.container_port).ok()?,
            protocol: port.transport(),
        })
    });
    ports.collect()
}

fn value<T: Default>(
    annotations: &StringMap,
    name: &str,
    parse: fn(&str) -> Result<T, String>,
) -> T {
    read(annotations, name, parse)
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn read<T>(
    annotations: &StringMap,
    name: &str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ApplicationError> {
    let key = format!("{PREFIX}{name}");
    let Some(text) = annotations.get(key.as_str()) else {
        return Ok(None);
    };
    parse(text)
        .map(Some)
        .map_err(|message| ApplicationError { key, message })
}

fn ports(text: &str) -> Result<Vec<ListenPort>, String> {
    text.split(',').map(|part| part.trim().parse()).collect()
}

impl FromStr for ListenPort {
    type Err = String;

    /// Reads `8080`, `8080/UDP`, `127.0.0.1:8080/TCP`, `[::1]:8080`.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "{text:?} is no place to listen at: expected [ADDRESS:]PORT[/TCP|/UDP], such as 127.0.0.1:8080/TCP"
            )
        };
        let (place, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
        let protocol = match protocol {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            _ => return Err(refuse()),
        };
        let (address, port) = match place.rsplit_once(':') {
            Some((address, port)) => (Some(address), port),
            None => (None, place),
        };
        let port = port.parse().ok().filter(|port| *port > 0);
        let address = address
            .map(|text| text.trim_matches(['[', ']']).parse::<IpAddr>())
            .transpose()
            .map_err(|_| refuse())?;
        if let Some(address) = address.filter(|ip| !ip.is_loopback() && !ip.is_unspecified()) {
            return Err(format!(
                "an application cannot listen at {address}: supported are 0.0.0.0 and ::, which mean all addresses, \
                 and loopback addresses"
            ));
        }
        Ok(Self {
            loopback: address.filter(IpAddr::is_loopback),
            port: port.ok_or_else(refuse)?,
            protocol,
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|_| format!("{text:?} is no duration, such as 5s"))
}

fn on_term(text: &str) -> Result<OnTerm, String> {
    match text {
        "close" => Ok(OnTerm::Close),
        "drain" => Ok(OnTerm::Drain),
        _ => Err(format!("{text:?} is none of: close, drain")),
    }
}

fn manners(text: &str) -> Result<Manners, String> {
    match text {
        "refuse" => Ok(Manners::Refuse),
        "blackhole" => Ok(Manners::Blackhole),
        _ => Err(format!("{text:?} is none of: refuse, blackhole")),
    }
}

impl fmt::Display for ApplicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(annotations: &[(&str, &str)]) -> Pod {
        let mut pod = Pod::default();
        for (name, value) in annotations {
            let key = format!("{PREFIX}{name}");
            pod.metadata.annotations.insert(key, (*value).to_owned());
        }
        pod
    }

    #[test]
    fn ports_can_be_open_to_nobody_else() {
        let pod = annotated(&[("listen", "127.0.0.1:8080/TCP, 9090, [::]:53/UDP, [::1]:1")]);
        assert_eq!(Application::check(&pod.metadata.annotations), []);
        let application = Application::of(&pod);
        assert_eq!(application.ports.len(), 4);
        let open: Vec<u16> = application.open_ports().map(|port| port.port).collect();
        assert_eq!(open, [9090, 53]);
        assert!(
            application.answers(9090) && !application.answers(8080) && !application.answers(53)
        );
    }

    #[test]
    fn who_is_hostile_is_reached_nowhere() {
        let pod = annotated(&[("listen", "80"), ("hostile", "refuse")]);
        assert!(!Application::of(&pod).answers(80));
    }

    #[test]
    fn complaints_name_the_annotation() {
        let pod = annotated(&[
            ("listen", "10.0.0.1:80"),
            ("start-delay", "soon"),
            ("respond-after", "later"),
            ("on-term", "die"),
            ("hostile", "very"),
        ]);
        let complaints = Application::check(&pod.metadata.annotations);
        let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        assert_eq!(
            complaints,
            [
                "switchboard.dev/listen: an application cannot listen at 10.0.0.1: supported are 0.0.0.0 and ::, \
                 which mean all addresses, and loopback addresses",
                "switchboard.dev/start-delay: \"soon\" is no duration, such as 5s",
                "switchboard.dev/respond-after: \"later\" is no duration, such as 5s",
                "switchboard.dev/on-term: \"die\" is none of: close, drain",
                "switchboard.dev/hostile: \"very\" is none of: refuse, blackhole",
            ]
        );
        for text in ["", "80/ICMP", "0", "x:80", "127.0.0.1:", "80,", "99999"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }
}
