//! Sets as `ipset save` prints them and `ipset restore` takes them.
//!
//! Options that only say how a kernel keeps a set (`hashsize`, `maxelem`, `bucketsize`, `initval`) are read over:
//! printed are kube-proxy's.
//!
//! Deviation: without `bucketsize` and `initval`, which ipset 7.17 prints as well on kernels from 5.11 on.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::{IpvsParseError, IpvsParseErrorKind, Set, SetEntry, SetKind, SetName, Sets};
use crate::{Family, Protocol};

/// Every set, followed by its entries.
#[must_use]
pub fn sets_text(sets: &Sets, family: Family) -> String {
    let mut text = String::new();
    for (name, set) in sets {
        writeln!(text, "{}", creation(name, set.kind, family)).expect("a String takes everything");
        for entry in &set.entries {
            writeln!(text, "add {name} {entry}").expect("a String takes everything");
        }
    }
    text
}

/// `create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536`
pub(super) fn creation(name: &SetName, kind: SetKind, family: Family) -> String {
    format!("create {name} {kind} {}", header(kind, family))
}

/// What is said of a set besides its name and kind.
pub(super) const fn header(kind: SetKind, family: Family) -> &'static str {
    match (kind, family) {
        (SetKind::Port, _) => "range 0-65535",
        (_, Family::V4) => "family inet hashsize 1024 maxelem 65536",
        (_, Family::V6) => "family inet6 hashsize 1024 maxelem 65536",
    }
}

/// Reads the sets of a family; those of the other one are an error.
///
/// # Errors
/// The first line that is not understood.
pub fn parse_sets(text: &str, family: Family) -> Result<Sets, IpvsParseError> {
    let mut sets = Sets::new();
    for (line, number) in text.lines().zip(1..) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let read = match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["create", name, kind, options @ ..] => create(&mut sets, name, kind, options, family),
            ["add", name, entry] => add(&mut sets, name, entry, family),
            ["add", _, _, option, ..] => Err(IpvsParseErrorKind::unexpected(
                option,
                "an option that is understood here",
            )),
            ["create" | "add", ..] => Err(IpvsParseErrorKind::Missing("what is made or added")),
            [other, ..] => Err(IpvsParseErrorKind::unexpected(other, "create or add")),
        };
        read.map_err(|kind| kind.on_line(number))?;
    }
    Ok(sets)
}

fn create(
    sets: &mut Sets,
    name: &str,
    kind: &str,
    options: &[&str],
    family: Family,
) -> Result<(), IpvsParseErrorKind> {
    let name = set_name(name)?;
    let mut kinds = SetKind::NAMES.iter();
    let known = kinds.find(|(_, known)| *known == kind);
    let (kind, _) = known.ok_or_else(|| IpvsParseErrorKind::unexpected(kind, "a type of set"))?;
    for pair in options.chunks(2) {
        let [option, value] = pair else {
            return Err(IpvsParseErrorKind::Missing("the option's value"));
        };
        let is_understood = match *option {
            "family" => *value == family_word(family),
            "range" => *kind == SetKind::Port && *value == "0-65535",
            "hashsize" | "maxelem" | "bucketsize" | "initval" => true,
            _ => false,
        };
        if !is_understood {
            let text = format!("{option} {value}");
            let expected = "an option that is understood here";
            return Err(IpvsParseErrorKind::unexpected(&text, expected));
        }
    }
    match sets.insert(name.clone(), Set::new(*kind)) {
        None => Ok(()),
        Some(_) => Err(IpvsParseErrorKind::Duplicate(format!("set {name}"))),
    }
}

const fn family_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    }
}

fn add(sets: &mut Sets, name: &str, text: &str, family: Family) -> Result<(), IpvsParseErrorKind> {
    let name = set_name(name)?;
    let set = sets.get_mut(&name);
    let set = set.ok_or_else(|| IpvsParseErrorKind::NoSet(name.clone()))?;
    let entry = read_entry(text, set.kind).filter(|entry| entry.fits(family));
    let entry =
        entry.ok_or_else(|| IpvsParseErrorKind::unexpected(text, "an entry of this set"))?;
    match set.entries.insert(entry) {
        None => Ok(()),
        Some(_) => Err(IpvsParseErrorKind::Duplicate(format!("{entry} in {name}"))),
    }
}

fn set_name(name: &str) -> Result<SetName, IpvsParseErrorKind> {
    SetName::new(name).ok_or_else(|| IpvsParseErrorKind::unexpected(name, "the name of a set"))
}

fn read_entry(text: &str, kind: SetKind) -> Option<SetEntry> {
    let mut parts = text.split(',');
    let first = parts.next()?;
    let entry = match kind {
        SetKind::Port => SetEntry::Port(first.parse().ok()?),
        SetKind::Address => SetEntry::Address(first.parse().ok()?),
        SetKind::Net => SetEntry::Net(net(first)?),
        SetKind::AddressPort => {
            let (protocol, port) = port(parts.next()?)?;
            SetEntry::AddressPort(first.parse().ok()?, protocol, port)
        }
        SetKind::AddressPortAddress => {
            let (protocol, port) = port(parts.next()?)?;
            let other = parts.next()?.parse().ok()?;
            SetEntry::AddressPortAddress(first.parse().ok()?, protocol, port, other)
        }
        SetKind::AddressPortNet => {
            let (protocol, port) = port(parts.next()?)?;
            let net = net(parts.next()?)?;
            SetEntry::AddressPortNet(first.parse().ok()?, protocol, port, net)
        }
    };
    parts.next().is_none().then_some(entry)
}

fn port(text: &str) -> Option<(Protocol, u16)> {
    let (protocol, port) = text.split_once(':')?;
    let protocol = Protocol::parse(protocol).filter(|protocol| protocol.has_ports())?;
    Some((protocol, port.parse().ok()?))
}

fn net(text: &str) -> Option<IpNet> {
    let net: IpNet = match text.contains('/') {
        true => text.parse().ok()?,
        false => IpNet::from(text.parse::<std::net::IpAddr>().ok()?),
    };
    (net.trunc() == net).then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_error(text: &str, expected: &str) {
        let error = parse_sets(text, Family::V4).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    /// PROXY-59
    #[test]
    fn what_is_not_understood_is_named() {
        check_error(
            "create A hash:mac\n",
            "line 1: \"hash:mac\" is not a type of set",
        );
        check_error("add A 10.0.0.1\n", "line 1: set A is not created");
        check_error(
            "create A hash:ip family inet\nadd A fd00::1\n",
            "line 2: \"fd00::1\" is not an entry of this set",
        );
        check_error(
            "create A hash:ip timeout 5\n",
            "line 1: \"timeout 5\" is not an option that is understood here",
        );
        check_error(
            "create A hash:net\nadd A 10.0.0.0/8 nomatch\n",
            "line 2: \"nomatch\" is not an option that is understood here",
        );
        check_error("swap A B\n", "line 1: \"swap\" is not create or add");
    }

    #[test]
    fn what_a_kernel_says_of_its_memory_is_read_over() {
        let saved = "create A hash:ip,port family inet hashsize 2048 maxelem 10 bucketsize 12 initval 0x1\n\
                     add A 10.0.0.1,tcp:80\n";
        let sets = parse_sets(saved, Family::V4).unwrap();
        assert_eq!(
            sets_text(&sets, Family::V4),
            "create A hash:ip,port family inet hashsize 1024 maxelem 65536\nadd A 10.0.0.1,tcp:80\n"
        );
    }

    #[test]
    fn names_of_ipv6_are_cut() {
        let name = SetName::of_family("KUBE-LOAD-BALANCER-SOURCE-CIDR", Family::V6);
        assert_eq!(name.as_str(), "KUBE-6-LOAD-BALANCER-SOURCE-CID");
    }
}
