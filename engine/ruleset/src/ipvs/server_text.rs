//! Virtual servers as `ipvsadm -S -n` prints them and `ipvsadm -R` takes them.
//!
//! Source: `print_service_and_dests` and `parse_options` of ipvsadm 1.31.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::SplitAsciiWhitespace;
use std::sync::Arc;

use super::{
    Forwarding, IpvsParseError, IpvsParseErrorKind, RealServer, Scheduler, ServerKey,
    VirtualServer, VirtualServers,
};
use crate::Protocol;

/// Each protocol's option.
const PROTOCOLS: [(Protocol, &str); 3] = [
    (Protocol::TCP, "-t"),
    (Protocol::UDP, "-u"),
    (Protocol::SCTP, "--sctp-service"),
];

/// The names of the three flags that a scheduler may have.
const fn flag_names(scheduler: Scheduler) -> [&'static str; 3] {
    match scheduler {
        Scheduler::SourceHashing => ["sh-fallback", "sh-port", "flag-3"],
        Scheduler::MaglevHashing => ["mh-fallback", "mh-port", "flag-3"],
        _ => FLAGS,
    }
}

/// The flags that a server's scheduler has.
pub(super) fn flag_words(server: &VirtualServer) -> Vec<&'static str> {
    let set = (0..).zip(flag_names(server.scheduler));
    let set = set.filter(|(bit, _)| server.scheduler_flags >> bit & 1 == 1);
    set.map(|(_, flag)| flag).collect()
}

/// What all of them can be called.
const FLAGS: [&str; 3] = ["flag-1", "flag-2", "flag-3"];

/// What `ipvsadm -p` means without a number: `IP_VS_TEMPLATE_TIMEOUT`.
const PERSISTENCE: NonZeroU32 = NonZeroU32::new(360).expect("it is not zero");

/// The servers, each followed by its real servers.
#[must_use]
pub fn servers_text(servers: &VirtualServers) -> String {
    let mut text = String::new();
    for (key, server) in servers {
        write_server(&mut text, key, server).expect("a String takes everything");
    }
    text
}

fn write_server(text: &mut String, key: &ServerKey, server: &VirtualServer) -> fmt::Result {
    writeln!(text, "-A {} {}", KeyWords(key), ServerWords(server))?;
    for (address, real) in &server.real_servers {
        writeln!(text, "-a {} {}", KeyWords(key), RealWords(*address, real))?;
    }
    Ok(())
}

/// `-t 10.96.0.40:80`
pub(super) struct KeyWords<'a>(pub(super) &'a ServerKey);

impl fmt::Display for KeyWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = PROTOCOLS.iter();
        let option = options.find(|(protocol, _)| *protocol == self.0.protocol);
        let (_, option) = option.ok_or(fmt::Error)?;
        write!(f, "{option} {}", self.0.address)
    }
}

/// `-s rr -p 10800`
pub(super) struct ServerWords<'a>(pub(super) &'a VirtualServer);

impl fmt::Display for ServerWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.0;
        write!(f, "-s {}", server.scheduler)?;
        if let Some(seconds) = server.persistence {
            write!(f, " -p {seconds}")?;
        }
        match &flag_words(server)[..] {
            [] => Ok(()),
            flags => write!(f, " -b {}", flags.join(",")),
        }
    }
}

/// `-r 10.244.1.5:8080 -m -w 1`
pub(super) struct RealWords<'a>(pub(super) SocketAddr, pub(super) &'a RealServer);

impl fmt::Display for RealWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address, real) = self;
        let RealServer {
            forwarding, weight, ..
        } = real;
        let mut words = Forwarding::WORDS.iter();
        let word = words.find(|(one, _)| one == forwarding);
        let (_, word) = word.ok_or(fmt::Error)?;
        write!(f, "-r {address} {word} -w {weight}")
    }
}

impl ServerKey {
    /// Whom a line is about, such as `ipvsadm -S -n` prints them; `None` when that is no address with a port, in numbers.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let protocol = words.find_map(service)?;
        let address = words.next()?.parse().ok()?;
        Some(Self { protocol, address })
    }
}

/// The protocol of an option that names a virtual server.
fn service(option: &str) -> Option<Protocol> {
    match option {
        "-t" | "--tcp-service" => Some(Protocol::TCP),
        "-u" | "--udp-service" => Some(Protocol::UDP),
        "--sctp-service" => Some(Protocol::SCTP),
        _ => None,
    }
}

/// Reads virtual servers. Addresses and ports are numbers, as `-n` prints them.
///
/// # Errors
/// The first line that is not understood.
pub fn parse_servers(text: &str) -> Result<VirtualServers, IpvsParseError> {
    let mut servers = VirtualServers::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            read_line(line, &mut servers).map_err(|kind| kind.on_line(number))?;
        }
    }
    Ok(servers)
}

fn read_line(line: &str, servers: &mut VirtualServers) -> Result<(), IpvsParseErrorKind> {
    let mut words = line.split_ascii_whitespace();
    let command = words.next().unwrap_or_default();
    let mut draft = Draft::default();
    while let Some(word) = words.next() {
        draft.option(word, &mut words)?;
    }
    let missing = IpvsParseErrorKind::Missing;
    let key = draft.key.ok_or(missing("the service's address"))?;
    match command {
        "-A" | "--add-service" => {
            let server = draft.server()?;
            match servers.insert(key, Arc::new(server)) {
                None => Ok(()),
                Some(_) => Err(IpvsParseErrorKind::Duplicate(key.to_string())),
            }
        }
        "-a" | "--add-server" => {
            let (address, real) = draft.real()?;
            let server = servers.get_mut(&key);
            let server =
                server.ok_or_else(|| IpvsParseErrorKind::NoVirtualServer(key.to_string()))?;
            match Arc::make_mut(server).real_servers.insert(address, real) {
                None => Ok(()),
                Some(_) => {
                    let twice = format!("real server {address} of {key}");
                    Err(IpvsParseErrorKind::Duplicate(twice))
                }
            }
        }
        other => Err(IpvsParseErrorKind::unexpected(other, "-A or -a")),
    }
}

/// The options of a line.
#[derive(Default)]
struct Draft {
    key: Option<ServerKey>,
    scheduler: Option<Scheduler>,
    persistence: Option<NonZeroU32>,
    flags: Option<u8>,
    real: Option<SocketAddr>,
    forwarding: Option<Forwarding>,
    weight: Option<u32>,
}

impl Draft {
    fn option(
        &mut self,
        word: &str,
        words: &mut SplitAsciiWhitespace<'_>,
    ) -> Result<(), IpvsParseErrorKind> {
        if let Some(protocol) = service(word) {
            let address = socket(words.next())?;
            return set(&mut self.key, ServerKey { protocol, address }, word);
        }
        let mut forwardings = Forwarding::WORDS.iter();
        if let Some((forwarding, _)) = forwardings.find(|(_, known)| *known == word) {
            return set(&mut self.forwarding, *forwarding, word);
        }
        match word {
            "-s" | "--scheduler" => {
                let name = value(words, "the scheduler's name")?;
                let scheduler = Scheduler::parse(name)
                    .ok_or_else(|| IpvsParseErrorKind::unexpected(name, "a scheduler"))?;
                set(&mut self.scheduler, scheduler, word)
            }
            "-p" | "--persistent" => {
                let seconds = number_if_any(words)?.unwrap_or(PERSISTENCE);
                set(&mut self.persistence, seconds, word)
            }
            "-b" | "--sched-flags" => {
                let flags = flags(value(words, "the scheduler's flags")?)?;
                set(&mut self.flags, flags, word)
            }
            "-r" | "--real-server" => {
                let address = socket(words.next())?;
                set(&mut self.real, address, word)
            }
            "-w" | "--weight" => {
                let weight = number(value(words, "a weight")?)?;
                set(&mut self.weight, weight, word)
            }
            other => Err(IpvsParseErrorKind::unexpected(
                other,
                "an option that is understood here",
            )),
        }
    }

    fn server(self) -> Result<VirtualServer, IpvsParseErrorKind> {
        if self.real.is_some() || self.weight.is_some() || self.forwarding.is_some() {
            return Err(IpvsParseErrorKind::unexpected("-A", "for real servers"));
        }
        Ok(VirtualServer {
            // ipvsadm's default is not kube-proxy's.
            scheduler: self.scheduler.unwrap_or(Scheduler::WeightedLeastConnection),
            persistence: self.persistence,
            scheduler_flags: self.flags.unwrap_or(0),
            real_servers: BTreeMap::new(),
            origin: None,
        })
    }

    fn real(self) -> Result<(SocketAddr, RealServer), IpvsParseErrorKind> {
        if self.scheduler.is_some() || self.persistence.is_some() || self.flags.is_some() {
            return Err(IpvsParseErrorKind::unexpected("-a", "for virtual servers"));
        }
        let missing = IpvsParseErrorKind::Missing("the real server's address");
        let real = RealServer {
            forwarding: self.forwarding.unwrap_or(Forwarding::DirectRouting),
            weight: self.weight.unwrap_or(1),
            origin: None,
        };
        Ok((self.real.ok_or(missing)?, real))
    }
}

fn set<T>(slot: &mut Option<T>, value: T, option: &str) -> Result<(), IpvsParseErrorKind> {
    if slot.is_some() {
        return Err(IpvsParseErrorKind::Duplicate(format!("option {option}")));
    }
    *slot = Some(value);
    Ok(())
}

fn value<'t>(
    words: &mut SplitAsciiWhitespace<'t>,
    what: &'static str,
) -> Result<&'t str, IpvsParseErrorKind> {
    words.next().ok_or(IpvsParseErrorKind::Missing(what))
}

fn socket(word: Option<&str>) -> Result<SocketAddr, IpvsParseErrorKind> {
    let word = word.ok_or(IpvsParseErrorKind::Missing("an address"))?;
    let read = word.parse();
    read.map_err(|_| IpvsParseErrorKind::unexpected(word, "an address with a port, in numbers"))
}

/// A weight or a number of seconds: the kernel keeps 31 bits.
fn number(word: &str) -> Result<u32, IpvsParseErrorKind> {
    let read = word.parse().ok().filter(|read| *read <= i32::MAX as u32);
    read.ok_or_else(|| IpvsParseErrorKind::unexpected(word, "a number below 2147483648"))
}

fn number_if_any(
    words: &mut SplitAsciiWhitespace<'_>,
) -> Result<Option<NonZeroU32>, IpvsParseErrorKind> {
    let mut ahead = words.clone();
    let Some(word) = ahead.next().filter(|word| !word.starts_with('-')) else {
        return Ok(None);
    };
    *words = ahead;
    let seconds = NonZeroU32::new(number(word)?);
    let seconds =
        seconds.ok_or_else(|| IpvsParseErrorKind::unexpected(word, "a number of seconds"))?;
    Ok(Some(seconds))
}

fn flags(text: &str) -> Result<u8, IpvsParseErrorKind> {
    text.split(',').try_fold(0, |flags, name| {
        let names = [Scheduler::SourceHashing, Scheduler::MaglevHashing].map(flag_names);
        let mut lists = [FLAGS].into_iter().chain(names);
        let bit = lists.find_map(|names| names.iter().position(|flag| *flag == name));
        let bit = bit.ok_or_else(|| IpvsParseErrorKind::unexpected(name, "a scheduler's flag"))?;
        Ok(flags | 1 << bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_error(text: &str, expected: &str) {
        let error = parse_servers(text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    /// PROXY-57, PROXY-58
    #[test]
    fn what_is_not_understood_is_named() {
        check_error(
            "-A -t 10.0.0.1:80 -s fair\n",
            "line 1: \"fair\" is not a scheduler",
        );
        check_error(
            "-a -t 10.0.0.1:80 -r 10.0.0.2:80\n",
            "line 1: there is no virtual server tcp 10.0.0.1:80",
        );
        check_error("\n-A -s rr\n", "line 2: the service's address is missing");
        check_error(
            "-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.1:80 -s rr\n",
            "line 2: tcp 10.0.0.1:80 stands twice",
        );
        check_error(
            "-A -t web:80\n",
            "line 1: \"web:80\" is not an address with a port, in numbers",
        );
        check_error("-D -t 10.0.0.1:80\n", "line 1: \"-D\" is not -A or -a");
        check_error(
            "-A -t 10.0.0.1:80 -o\n",
            "line 1: \"-o\" is not an option that is understood here",
        );
    }

    #[test]
    fn defaults_are_the_tools() {
        let read = parse_servers("-A -u 10.0.0.1:53 -p\n-a -u 10.0.0.1:53 -r 10.0.0.2:53\n");
        assert_eq!(
            servers_text(&read.unwrap()),
            "-A -u 10.0.0.1:53 -s wlc -p 360\n-a -u 10.0.0.1:53 -r 10.0.0.2:53 -g -w 1\n"
        );
    }
}
