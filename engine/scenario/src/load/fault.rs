//! The steps `fault` and `heal`: what each kind of fault takes.

use std::time::Duration;

use control::{Fault, Impairment, LinkEnd, PerMillion, Place};
use serde_yaml::Value;

use super::{Setting, action, names, nodes};
use crate::cursor::{Cursor, Fields, Read};
use crate::fault::{FaultStep, Trouble};
use crate::reference::PodsRef;
use crate::step::Action;

/// What a fault is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FaultKind {
    PartitionApi,
    WatchDelay,
    ProxyCrash,
    ProxyStall,
    NodeDown,
    ZoneDown,
    Link,
    PodCrash,
    PodUnready,
    ConntrackFull,
    ApiDown,
    DnsDown,
}

const KINDS: [(&str, FaultKind); 12] = [
    ("partition-api", FaultKind::PartitionApi),
    ("watch-delay", FaultKind::WatchDelay),
    ("proxy-crash", FaultKind::ProxyCrash),
    ("proxy-stall", FaultKind::ProxyStall),
    ("node-down", FaultKind::NodeDown),
    ("zone-down", FaultKind::ZoneDown),
    ("link", FaultKind::Link),
    ("pod-crash", FaultKind::PodCrash),
    ("pod-unready", FaultKind::PodUnready),
    ("conntrack-full", FaultKind::ConntrackFull),
    ("api-down", FaultKind::ApiDown),
    ("dns-down", FaultKind::DnsDown),
];

/// Connections that one node may track.
const CONNTRACK_MAX: u64 = 100_000_000;
/// Bits per second.
const RATE_MAX: u64 = 1_000_000_000_000;

/// Reads `fault`.
pub(super) fn fault(at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    // What a fault takes depends on its kind: of an unknown one nothing else can be said.
    let kind = fields.need("kind", |at| at.word(&KINDS))?;
    let trouble = trouble(kind, &mut fields, setting);
    let (id, lasts) = match kind {
        FaultKind::PodCrash => {
            let mut never = |key| {
                let message = format!("a pod-crash is over at once: it has no `{key}`");
                fields.misplaced(key, &message, None).map(|()| None)
            };
            (never("id"), never("for").map(|_| None))
        }
        _ => (
            fields.may("id", |at| names::label(at).map(str::to_owned)),
            fields.may("for", lasting),
        ),
    };
    fields.finish()?;
    Ok(Action::Fault(FaultStep {
        id: id?,
        lasts: lasts?,
        trouble: trouble?,
    }))
}

/// Reads `heal`; whether there is such a fault is seen when all steps are there.
pub(super) fn heal(at: &Cursor<'_>) -> Read<Action> {
    Ok(Action::Heal(at.name()?.to_owned()))
}

fn trouble(kind: FaultKind, fields: &mut Fields<'_>, setting: &Setting<'_>) -> Read<Trouble> {
    let node = |fields: &mut Fields<'_>| fields.need("node", |at| action::node(at, setting));
    let known = match kind {
        FaultKind::PartitionApi => node(fields).map(|node| Fault::PartitionApi { node }),
        FaultKind::ProxyCrash => node(fields).map(|node| Fault::ProxyCrash { node }),
        FaultKind::ProxyStall => node(fields).map(|node| Fault::ProxyStall { node }),
        FaultKind::WatchDelay => watch_delay(fields, setting),
        FaultKind::NodeDown => node(fields).map(|node| Fault::Down {
            place: Place::Node(node),
        }),
        FaultKind::ZoneDown => {
            fields
                .need("zone", |at| zone(at, at.name()?, setting))
                .map(|zone| Fault::Down {
                    place: Place::Zone(zone),
                })
        }
        FaultKind::Link => return link(fields, setting),
        FaultKind::PodCrash => return pods(fields, setting).map(Trouble::PodCrash),
        FaultKind::PodUnready => return pods(fields, setting).map(Trouble::PodUnready),
        FaultKind::ConntrackFull => {
            let node = node(fields);
            let max = fields.need("max", |at| at.integer(0..=CONNTRACK_MAX));
            let (node, max) = (node?, max?);
            let max = usize::try_from(max).expect("at most CONNTRACK_MAX");
            Ok(Fault::ConntrackFull { node, max })
        }
        FaultKind::ApiDown => Ok(Fault::ApiDown),
        FaultKind::DnsDown => Ok(Fault::DnsDown),
    };
    known.map(Trouble::Known)
}

fn watch_delay(fields: &mut Fields<'_>, setting: &Setting<'_>) -> Read<Fault> {
    let node = fields.may("node", |at| action::node(at, setting));
    let zone = fields.may("zone", |at| zone(at, at.name()?, setting));
    let by = fields.need("by", lasting);
    let place = match (node?, zone?) {
        (Some(node), None) => Place::Node(node),
        (None, Some(zone)) => Place::Zone(zone),
        _ => {
            let message =
                "this is a fault of one `node`, or of all nodes of a `zone`: name one of both";
            return Err(fields.at().refuse(message));
        }
    };
    Ok(Fault::WatchDelay { place, by: by? })
}

/// What is named as an end of a link.
#[derive(Debug)]
enum End {
    /// Of links between nodes, zones and outside hosts.
    Place(LinkEnd),
    /// Of each Pod's link to its node.
    Pods(PodsRef),
}

/// Reads a link. That of a Pod has its node at the other end, which may be left out.
fn link(fields: &mut Fields<'_>, setting: &Setting<'_>) -> Read<Trouble> {
    let a = fields.need("a", |at| link_end(at, setting));
    let b = match a {
        Ok(End::Pods(_)) => fields.may("b", |at| other_end(at, setting)),
        _ => fields.need("b", |at| other_end(at, setting)).map(Some),
    };
    let impairment = impairment(fields);
    let (a, b, impairment) = (a?, b?, impairment?);
    if impairment == Impairment::default() {
        return Err(fields.at().refuse_with(
            "nothing is wrong with this link",
            "give at least one of cut, delay, jitter, loss, duplicate, reorder, rate, mtu",
        ));
    }
    let pod_link = |pods, node, impairment| Trouble::PodLink {
        pods,
        node,
        impairment,
    };
    match (a, b) {
        (End::Pods(pods), None) => Ok(pod_link(pods, None, impairment)),
        (End::Pods(pods), Some((_, End::Place(LinkEnd::Node(node)))))
        | (End::Place(LinkEnd::Node(node)), Some((_, End::Pods(pods)))) => {
            Ok(pod_link(pods, Some(node), impairment))
        }
        (End::Pods(_), Some((at, _))) | (End::Place(_), Some((at, End::Pods(_)))) => {
            Err(at.refuse_with("a Pod has one link, to its node", "leave `b` out"))
        }
        (End::Place(a), Some((at, End::Place(b)))) if a == b && !matches!(a, LinkEnd::Zone(_)) => {
            Err(at.refuse(format!("{a} has no link to itself")))
        }
        (End::Place(a), Some((_, End::Place(b)))) => {
            Ok(Trouble::Known(Fault::Link { a, b, impairment }))
        }
        (End::Place(_), None) => unreachable!("`b` is needed"),
    }
}

fn impairment(fields: &mut Fields<'_>) -> Read<Impairment> {
    let cut = fields.or("cut", false, Cursor::boolean);
    let delay = fields.or("delay", Duration::ZERO, Cursor::duration);
    let jitter = fields.or("jitter", Duration::ZERO, Cursor::duration);
    let [loss, duplicate, reorder] = ["loss", "duplicate", "reorder"]
        .map(|key| fields.or(key, PerMillion::default(), percentage));
    let rate = fields.may("rate", rate);
    // 1280 is the least that IPv6 asks of a link (RFC 8200, section 5).
    let mtu = fields.may("mtu", |at| at.integer(1280..=65_535));
    Ok(Impairment {
        delay: delay?,
        jitter: jitter?,
        loss: loss?,
        duplicate: duplicate?,
        reorder: reorder?,
        rate: rate?,
        mtu: mtu?.map(|mtu| usize::try_from(mtu).expect("at most 65535")),
        cut: cut?,
    })
}

/// Reads an end, and keeps where it stands.
fn other_end<'a>(at: &Cursor<'a>, setting: &Setting<'_>) -> Read<(Cursor<'a>, End)> {
    Ok((at.clone(), link_end(at, setting)?))
}

/// Reads `node/…`, `zone/…`, `outside/…`, a Pod or a workload; a name alone is a node's.
fn link_end(at: &Cursor<'_>, setting: &Setting<'_>) -> Read<End> {
    let text = at.text()?;
    let place = match text.split_once('/').or(Some(("node", text))) {
        Some(("node", name)) => {
            if let Some(cluster) = setting.cluster {
                nodes::check_known(at, name, cluster.nodes.iter())?;
            }
            LinkEnd::Node(name.to_owned())
        }
        Some(("zone", name)) => zone(at, name, setting).map(LinkEnd::Zone)?,
        Some(("outside", name)) => {
            action::check_outside(at, name, setting)?;
            LinkEnd::Outside(name.to_owned())
        }
        _ => {
            return PodsRef::parse(text, setting.namespace)
                .map(End::Pods)
                .map_err(|_| {
                    at.refuse(format!(
                        "{text:?} is no end of a link: expected node/… (or its name alone), zone/…, outside/…, pod/… or a workload"
                    ))
                });
        }
    };
    Ok(End::Place(place))
}

/// Takes the name of a zone of some node.
fn zone(at: &Cursor<'_>, name: &str, setting: &Setting<'_>) -> Read<String> {
    if let Some(cluster) = setting.cluster {
        let mut zones: Vec<&str> = cluster
            .nodes
            .iter()
            .filter_map(|node| node.zone.as_deref())
            .collect();
        zones.sort_unstable();
        zones.dedup();
        if !zones.contains(&name) {
            return Err(nodes::unknown(at, "zone", name, zones.into_iter()));
        }
    }
    Ok(name.to_owned())
}

fn pods(fields: &mut Fields<'_>, setting: &Setting<'_>) -> Read<PodsRef> {
    fields.need("pod", |at| {
        PodsRef::parse(at.text()?, setting.namespace).map_err(|error| at.refuse(error))
    })
}

/// Reads a span that is some time at all.
fn lasting(at: &Cursor<'_>) -> Read<Duration> {
    match at.duration()? {
        Duration::ZERO => Err(at.refuse("no time at all makes no fault")),
        span => Ok(span),
    }
}

/// Reads `5%` or `0.25%`, or as a part of one `0.05`, exact to a millionth of the whole.
fn percentage(at: &Cursor<'_>) -> Read<PerMillion> {
    const DIGITS: usize = 4;
    if let Value::Number(number) = at.value() {
        return part_of_one(number.as_f64().unwrap_or(f64::NAN)).ok_or_else(|| {
            at.refuse_with(
                format!("{number} is no part of all packets: expected 0 to 1, with at most 6 digits behind the point"),
                "or say it in percent, such as 5%",
            )
        });
    }
    let text = at.text()?;
    let read = || {
        let (whole, part) = match text.strip_suffix('%')?.split_once('.') {
            Some((whole, part)) if !part.is_empty() => (whole, part),
            Some(_) => return None,
            None => (text.strip_suffix('%')?, ""),
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > DIGITS {
            return None;
        }
        let millionths = format!("{whole}{part:0<DIGITS$}").parse().ok()?;
        PerMillion::new(millionths)
    };
    read().ok_or_else(|| {
        at.refuse(format!(
            "{text:?} is no part of all packets: expected 0% to 100%, with at most {DIGITS} digits behind the point"
        ))
    })
}

/// A number from 0 to 1 that is a whole number of millionths.
fn part_of_one(number: f64) -> Option<PerMillion> {
    let millionths = (number * 1e6).round();
    let is_exact = (number * 1e6 - millionths).abs() < 1e-6;
    let is_part = (0.0..=1e6).contains(&millionths) && is_exact;
    PerMillion::new(is_part.then_some(millionths as u32)?)
}

/// Reads bits per second as tc(8) writes them: `10mbit`.
fn rate(at: &Cursor<'_>) -> Read<u64> {
    const UNITS: [(&str, u64); 4] = [
        ("kbit", 1_000),
        ("mbit", 1_000_000),
        ("gbit", 1_000_000_000),
        ("bit", 1),
    ];
    let text = at.text()?;
    let lower = text.to_ascii_lowercase();
    let read = UNITS.iter().find_map(|(unit, factor)| {
        let number: u64 = lower.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*factor)
    });
    read.filter(|rate| (1..=RATE_MAX).contains(rate))
        .ok_or_else(|| {
            at.refuse(format!(
                "{text:?} is no rate: expected a whole number of bit, kbit, mbit or gbit a second, such as 10mbit"
            ))
        })
}
