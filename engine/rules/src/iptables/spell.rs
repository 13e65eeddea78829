//! Matches as kube-proxy writes them.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use ruleset::Protocol;
use ruleset::xt::{AddressType, Comment, InterfaceMatch, PortRange, XtMatch, XtRule, XtTarget};

use crate::{PodTraffic, ServicePortId};

pub(super) fn comment(text: &str) -> XtMatch {
    XtMatch::Comment(Comment::new(text))
}

/// The same rule with a comment, if there is one.
pub(super) fn remarked(mut rule: XtRule, remark: Option<&XtMatch>) -> XtRule {
    rule.matches.extend(remark.cloned());
    rule
}

/// A network of one address.
pub(super) fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

pub(super) fn ports(protocol: Protocol, destination: Option<u16>) -> XtMatch {
    XtMatch::Ports {
        protocol,
        source: None,
        destination: destination.map(PortRange::one),
    }
}

/// The source is one of the node's addresses.
pub(super) const fn local_source() -> XtMatch {
    XtMatch::AddrType {
        source: Some((false, AddressType::Local)),
        destination: None,
    }
}

/// The destination is one of the node's addresses.
pub(super) const fn local_destination() -> XtMatch {
    XtMatch::AddrType {
        source: None,
        destination: Some((false, AddressType::Local)),
    }
}

/// A rule for packets to a frontend of a service port.
pub(super) fn destination(
    id: &ServicePortId,
    frontend: SocketAddr,
    target: XtTarget,
    remark: &str,
) -> XtRule {
    XtRule::new(target)
        .with_destination(host(frontend.ip()), false)
        .with_protocol(id.protocol)
        .with_match(comment(remark))
        .with_match(ports(id.protocol, Some(frontend.port())))
}

/// The same rule, for Pods only.
pub(super) fn from_pods(rule: XtRule, pods: &PodTraffic) -> XtRule {
    with_pods(rule, pods, false)
}

/// The same rule, for all but Pods.
pub(super) fn not_from(rule: XtRule, pods: &PodTraffic) -> XtRule {
    with_pods(rule, pods, true)
}

fn with_pods(mut rule: XtRule, pods: &PodTraffic, negated: bool) -> XtRule {
    let name = match pods {
        PodTraffic::Source(net) => return rule.with_source(*net, negated),
        PodTraffic::Interface(name) => name.as_ref().into(),
        PodTraffic::InterfacePrefix(prefix) => format!("{prefix}+").into_boxed_str(),
    };
    rule.in_interface = Some(InterfaceMatch { negated, name });
    rule
}
