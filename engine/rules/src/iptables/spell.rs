//! Matches as kube-proxy writes them.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use ruleset::Protocol;
use ruleset::xt::{
    AddressType, Comment, CtState, CtStates, InterfaceMatch, PortRange, XtMatch, XtRule, XtTarget,
};

use crate::{Capabilities, FrameDecision, PodTraffic, ServicePortId};

pub(crate) fn comment(text: &str) -> XtMatch {
    XtMatch::Comment(Comment::new(text))
}

/// The same rule with a comment, if there is one.
pub(crate) fn remarked(mut rule: XtRule, remark: Option<&XtMatch>) -> XtRule {
    rule.matches.extend(remark.cloned());
    rule
}

/// A network of one address.
pub(crate) fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

pub(crate) fn ports(protocol: Protocol, destination: Option<u16>) -> XtMatch {
    XtMatch::Ports {
        protocol,
        source: None,
        destination: destination.map(PortRange::one),
    }
}

/// The source is one of the node's addresses.
pub(crate) const fn local_source() -> XtMatch {
    XtMatch::AddrType {
        source: Some((false, AddressType::Local)),
        destination: None,
    }
}

/// The destination is one of the node's addresses.
pub(crate) const fn local_destination() -> XtMatch {
    XtMatch::AddrType {
        source: None,
        destination: Some((false, AddressType::Local)),
    }
}

/// A rule for packets to a frontend of a service port.
pub(crate) fn destination(
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
pub(crate) fn from_pods(rule: XtRule, pods: &PodTraffic) -> XtRule {
    with_pods(rule, pods, false)
}

/// The same rule, for all but Pods.
pub(crate) fn not_from(rule: XtRule, pods: &PodTraffic) -> XtRule {
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

/// Conntrack knows the packet's connection as one of these.
pub(crate) fn states(states: &[CtState]) -> XtMatch {
    XtMatch::CtState {
        negated: false,
        states: CtStates::of(states),
    }
}

const fn mark_match(mark: u32, negated: bool) -> XtMatch {
    XtMatch::Mark {
        negated,
        value: mark,
        mask: mark,
    }
}

/// What is forwarded for Services (PROXY-34).
pub(crate) fn forward_rules(mark: u32) -> [(XtRule, FrameDecision); 2] {
    let marked = XtRule::new(XtTarget::Accept)
        .with_match(comment("kubernetes forwarding rules"))
        .with_match(mark_match(mark, false));
    let known = XtRule::new(XtTarget::Accept)
        .with_match(comment("kubernetes forwarding conntrack rule"))
        .with_match(states(&[CtState::Related, CtState::Established]));
    [
        (marked, FrameDecision::ForwardMarked(mark)),
        (known, FrameDecision::ForwardKnown),
    ]
}

/// How packets are marked, and what becomes of marked ones (PROXY-19, PROXY-35): chain of table `nat`, and rule.
pub(crate) fn mark_rules(
    mark: u32,
    capabilities: Capabilities,
) -> [(&'static str, XtRule, FrameDecision); 4] {
    let set = XtRule::new(XtTarget::SetXmark {
        value: mark,
        mask: mark,
    });
    let unmarked = XtRule::new(XtTarget::Return).with_match(mark_match(mark, true));
    let clear = XtRule::new(XtTarget::SetXmark {
        value: mark,
        mask: 0,
    });
    let masquerade = XtRule::new(XtTarget::Masquerade {
        random_fully: capabilities.random_fully,
    })
    .with_match(comment("kubernetes service traffic requiring SNAT"));
    let last = "KUBE-POSTROUTING";
    [
        ("KUBE-MARK-MASQ", set, FrameDecision::Mark(mark)),
        (last, unmarked, FrameDecision::KeepUnmarked(mark)),
        (last, clear, FrameDecision::ClearMark(mark)),
        (last, masquerade, FrameDecision::Masquerade(mark)),
    ]
}
