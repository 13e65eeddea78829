//! Whatever is printed reads back the same, in both spellings.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use switchboard_ruleset::ipvs::SetName;
use switchboard_ruleset::nft::PacketType;
use switchboard_ruleset::xt::{
    AddressMatch, AddressSide, AddressType, ChainName, Comment, ConnMarkAction, CtState, CtStates,
    InterfaceMatch, IpRangeMatch, MultiportSide, NatTarget, Policy, PortRange, Probability,
    RecentAction, RecentMatch, RecentWindow, RejectWith, SetMatch, TableName, TcpFlags, XtChain,
    XtMatch, XtRule, XtTable, XtTables, XtTarget, parse, restore_text, save_text,
};
use switchboard_ruleset::{AddressSpan, Family, NatKind, NatRange, PortSpan, Protocol};

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn address_match(family: Family) -> impl Strategy<Value = AddressMatch> {
    (any::<bool>(), address(family), 0..=family.address_bits()).prop_map(
        |(negated, address, length)| AddressMatch {
            negated,
            net: IpNet::new(address, length)
                .expect("length fits the family")
                .trunc(),
        },
    )
}

fn interface_match() -> impl Strategy<Value = InterfaceMatch> {
    (any::<bool>(), "[!-.0-~]{1,14}\\+?").prop_map(|(negated, name)| InterfaceMatch {
        negated,
        name: name.into(),
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    (1..=u8::MAX).prop_map(Protocol)
}

fn port_range() -> impl Strategy<Value = PortRange> {
    (any::<u16>(), any::<u16>(), any::<bool>()).prop_map(|(a, b, negated)| PortRange {
        first: a.min(b),
        last: a.max(b),
        negated,
    })
}

fn chain_name() -> impl Strategy<Value = ChainName> {
    "KUBE-[A-Z0-9]{1,16}".prop_map(|name| ChainName::new(&name).expect("a valid name"))
}

/// Texts that try to break out of their quotes.
fn nasty_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\"'\\\\ \t\n#!a-]{0,20}",
        Just("\" -j ACCEPT\n-A INPUT -j DROP \\".to_owned()),
        Just("-t".to_owned()),
    ]
}

fn ct_states() -> impl Strategy<Value = CtStates> {
    use CtState::{Dnat, Established, Invalid, New, Related, Snat, Untracked};
    let all = vec![Invalid, New, Related, Established, Untracked, Snat, Dnat];
    proptest::sample::subsequence(all, 1..=7).prop_map(|states| CtStates::of(&states))
}

fn address_type() -> impl Strategy<Value = (bool, AddressType)> {
    use AddressType::{Broadcast, Local, Multicast, Unicast};
    let kind = proptest::sample::select(vec![Local, Unicast, Broadcast, Multicast]);
    (any::<bool>(), kind)
}

fn probability() -> impl Strategy<Value = Probability> {
    prop_oneof![
        (1_u32..100_000).prop_map(Probability::one_in),
        (0..=Probability::ONE).prop_map(|raw| Probability::from_raw(raw).expect("at most one")),
    ]
}

fn extension(family: Family) -> impl Strategy<Value = XtMatch> {
    let ports_protocol =
        proptest::sample::select(vec![Protocol::TCP, Protocol::UDP, Protocol::SCTP]);
    prop_oneof![
        nasty_text().prop_map(|text| XtMatch::Comment(Comment::new(&text))),
        (
            ports_protocol,
            option::of(port_range()),
            option::of(port_range())
        )
            .prop_map(|(protocol, source, destination)| XtMatch::Ports {
                protocol,
                source,
                destination
            }),
        (any::<bool>(), ct_states())
            .prop_map(|(negated, states)| XtMatch::CtState { negated, states }),
        (
            any::<bool>(),
            any::<u32>(),
            prop_oneof![Just(u32::MAX), any::<u32>()]
        )
            .prop_map(|(negated, value, mask)| XtMatch::Mark {
                negated,
                value,
                mask
            }),
        probability().prop_map(XtMatch::Random),
        (address_type(), option::of(address_type())).prop_map(|(source, destination)| {
            XtMatch::AddrType {
                source: Some(source),
                destination,
            }
        }),
        address_type().prop_map(|destination| XtMatch::AddrType {
            source: None,
            destination: Some(destination)
        }),
        "[ -~]{1,31}".prop_map(|name| XtMatch::NfAcct(name.into())),
        newer_extension(family),
    ]
}

fn newer_extension(family: Family) -> impl Strategy<Value = XtMatch> {
    let side = proptest::sample::select(vec![
        MultiportSide::Source,
        MultiportSide::Destination,
        MultiportSide::Either,
    ]);
    let span = port_range().prop_map(|range| range.first..=range.last);
    prop_oneof![
        (
            (option::of(port_range()), option::of(port_range())),
            any::<bool>(),
            0..64_u8,
            0..64_u8
        )
            .prop_map(
                |((source, destination), negated, mask, set)| XtMatch::TcpFlags {
                    source,
                    destination,
                    negated,
                    mask: TcpFlags(mask),
                    set: TcpFlags(set),
                }
            ),
        (any::<bool>(), side, vec(span, 1..8)).prop_map(|(negated, side, ports)| {
            XtMatch::Multiport {
                negated,
                side,
                ports: ports.into(),
            }
        }),
        (any::<bool>(), 0..=254_u8, option::of(any::<u8>())).prop_map(|(negated, kind, code)| {
            XtMatch::IcmpType {
                negated,
                kind,
                code,
            }
        }),
        (any::<bool>(), any::<u32>(), any::<u32>()).prop_map(|(negated, value, mask)| {
            XtMatch::ConnMark {
                negated,
                value,
                mask,
            }
        }),
        recent(family).prop_map(|recent| XtMatch::Recent(Box::new(recent))),
        (
            option::of((any::<bool>(), addresses(family))),
            any::<bool>(),
            addresses(family)
        )
            .prop_map(|(source, negated, destination)| {
                XtMatch::IpRange(Box::new(IpRangeMatch {
                    source,
                    destination: Some((negated, destination)),
                }))
            }),
        (any::<bool>(), packet_type())
            .prop_map(|(negated, kind)| XtMatch::PacketType { negated, kind }),
        set_match().prop_map(|set| XtMatch::Set(Box::new(set))),
        any::<bool>().prop_map(|negated| XtMatch::BridgeIn { negated }),
    ]
}

fn set_match() -> impl Strategy<Value = SetMatch> {
    let side = prop_oneof![Just(AddressSide::Source), Just(AddressSide::Destination)];
    let name = "[A-Z][A-Z0-9-]{0,30}";
    (any::<bool>(), name, vec(side, 1..=3)).prop_map(|(negated, name, sides)| SetMatch {
        negated,
        set: SetName::new(&name).expect("the pattern makes names"),
        sides: sides.into(),
    })
}

fn packet_type() -> impl Strategy<Value = PacketType> {
    use PacketType::{Broadcast, Host, Multicast, Other};
    proptest::sample::select(vec![Host, Broadcast, Multicast, Other])
}

/// Neighbouring addresses.
fn addresses(family: Family) -> impl Strategy<Value = AddressSpan> {
    (address(family), 0..=255_u8).prop_map(|(first, more)| {
        let last = match first {
            IpAddr::V4(first) => IpAddr::V4(first.to_bits().saturating_add(more.into()).into()),
            IpAddr::V6(first) => IpAddr::V6(first.to_bits().saturating_add(more.into()).into()),
        };
        AddressSpan::new(first, last).expect("they are in order")
    })
}

/// What no plainer target says.
fn nat_range(family: Family) -> impl Strategy<Value = NatRange> {
    let kind = prop_oneof![
        option::of(addresses(family)).prop_map(NatKind::Dnat),
        addresses(family).prop_map(NatKind::Snat),
        Just(NatKind::Masquerade),
        Just(NatKind::Redirect),
    ];
    let ports = (1..u16::MAX, any::<u16>()).prop_map(|(first, more)| {
        PortSpan::new(first, first.saturating_add(more.max(1))).expect("they are in order")
    });
    (kind, any::<[bool; 3]>(), ports).prop_map(|(kind, flags, ports)| {
        let [random, random_fully, persistent] = flags;
        NatRange {
            kind,
            random,
            random_fully: random_fully && matches!(kind, NatKind::Snat(_) | NatKind::Masquerade),
            persistent: persistent && matches!(kind, NatKind::Snat(_) | NatKind::Dnat(_)),
            ports: Some(ports),
        }
    })
}

fn recent(family: Family) -> impl Strategy<Value = RecentMatch> {
    let window = (
        option::of(1..u32::MAX),
        any::<bool>(),
        option::of(1..u32::MAX),
    )
        .prop_map(|(seconds, reap, hits)| RecentWindow {
            seconds: seconds.and_then(NonZeroU32::new),
            reap: reap && seconds.is_some(),
            hit_count: hits.and_then(NonZeroU32::new),
        });
    let action = prop_oneof![
        Just(RecentAction::Set),
        Just(RecentAction::Remove),
        window.clone().prop_map(RecentAction::Rcheck),
        window.prop_map(RecentAction::Update),
    ];
    let side = prop_oneof![Just(AddressSide::Source), Just(AddressSide::Destination)];
    (
        action,
        any::<bool>(),
        "[ !\"-.0-~]{1,20}",
        address(family),
        side,
    )
        .prop_map(|(action, negated, name, mask, side)| RecentMatch {
            action,
            negated,
            name: name.into(),
            mask,
            side,
        })
}

fn target(family: Family) -> impl Strategy<Value = XtTarget> {
    use RejectWith::{AdminProhibited, HostUnreachable, NetUnreachable, PortUnreachable, TcpReset};
    let reject = vec![
        PortUnreachable,
        HostUnreachable,
        NetUnreachable,
        AdminProhibited,
        TcpReset,
    ];
    prop_oneof![
        Just(XtTarget::None),
        Just(XtTarget::Accept),
        Just(XtTarget::Drop),
        Just(XtTarget::Return),
        chain_name().prop_map(XtTarget::Jump),
        chain_name().prop_map(XtTarget::Goto),
        proptest::sample::select(reject).prop_map(XtTarget::Reject),
        (any::<u32>(), any::<u32>()).prop_map(|(value, mask)| XtTarget::SetXmark { value, mask }),
        any::<u32>().prop_map(|bits| XtTarget::SetXmark {
            value: bits,
            mask: bits
        }),
        any::<u32>().prop_map(|value| XtTarget::SetXmark { value, mask: 0 }),
        (address(family), option::of(1..=u16::MAX)).prop_map(|(address, port)| XtTarget::Dnat {
            to: NatTarget { address, port }
        }),
        any::<bool>().prop_map(|random_fully| XtTarget::Masquerade { random_fully }),
        newer_target(family),
    ]
}

fn newer_target(family: Family) -> impl Strategy<Value = XtTarget> {
    let port = option::of(1..=u16::MAX);
    let masks = (any::<u32>(), any::<u32>());
    prop_oneof![
        (address(family), port.clone(), any::<bool>()).prop_map(|(address, port, random_fully)| {
            XtTarget::Snat {
                to: NatTarget { address, port },
                random_fully,
            }
        }),
        port.prop_map(|port| XtTarget::Redirect { port }),
        nat_range(family).prop_map(|range| XtTarget::NatRange(Box::new(range))),
        Just(XtTarget::Notrack),
        masks.prop_map(|(value, mask)| XtTarget::ConnMark(ConnMarkAction::Set { value, mask })),
        masks.prop_map(|(nf_mask, ct_mask)| {
            XtTarget::ConnMark(ConnMarkAction::Save { nf_mask, ct_mask })
        }),
        masks.prop_map(|(nf_mask, ct_mask)| {
            XtTarget::ConnMark(ConnMarkAction::Restore { nf_mask, ct_mask })
        }),
        ("[ -~]{0,29}", 0..8_u8).prop_map(|(prefix, level)| XtTarget::Log {
            prefix: Comment::new(&prefix),
            level
        }),
    ]
}

fn rule(family: Family) -> impl Strategy<Value = XtRule> {
    let header = (
        option::of(address_match(family)),
        option::of(address_match(family)),
        option::of(interface_match()),
        option::of(interface_match()),
        option::of((any::<bool>(), protocol())),
    );
    (header, vec(extension(family), 0..4), target(family)).prop_map(|(header, matches, target)| {
        let (source, destination, in_interface, out_interface, protocol) = header;
        XtRule {
            source,
            destination,
            in_interface,
            out_interface,
            protocol,
            matches: matches.into(),
            target,
            origin: None,
        }
    })
}

fn table(name: TableName, family: Family) -> impl Strategy<Value = XtTable> {
    let built_in = proptest::sample::subsequence(name.built_in_chains(), 0..=2);
    let policy = prop_oneof![Just(Policy::Accept), Just(Policy::Drop)];
    // A built-in chain has a rule here, so that the restore spelling mentions it.
    let built_in = (built_in, policy, vec(rule(family), 1..3));
    let user = btree_map(chain_name(), vec(rule(family), 0..3), 0..4);
    (built_in, user).prop_map(|((built_in, policy, rules), user)| {
        let built_in = built_in.into_iter().map(|name| {
            let chain = XtChain {
                policy: Some(policy),
                rules: rules.clone(),
            };
            (ChainName::literal(name), Arc::new(chain))
        });
        let user = user.into_iter().map(|(name, rules)| {
            let chain = XtChain {
                policy: None,
                rules,
            };
            (name, Arc::new(chain))
        });
        XtTable {
            chains: built_in.chain(user).collect(),
        }
    })
}

fn tables() -> impl Strategy<Value = XtTables> {
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    family.prop_flat_map(|family| {
        let both = (
            table(TableName::Filter, family),
            table(TableName::Nat, family),
        );
        both.prop_map(move |(filter, nat)| XtTables {
            family,
            tables: [(TableName::Filter, filter), (TableName::Nat, nat)].into(),
        })
    })
}

proptest! {
    #[test]
    fn printing_then_parsing_gives_the_same(tables in tables()) {
        let saved = save_text(&tables);
        prop_assert_eq!(&parse(&saved, tables.family).map_err(|e| format!("{e}\n{saved}")), &Ok(tables.clone()));
        let restored = restore_text(&tables);
        prop_assert_eq!(&parse(&restored, tables.family).map_err(|e| format!("{e}\n{restored}")), &Ok(tables));
    }

    #[test]
    fn one_rule_is_one_line(rule in rule(Family::V4)) {
        let line = rule.line(ChainName::literal("KUBE-X"), Family::V4).to_string();
        prop_assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\*nat\n)?(:[A-Z]{1,3} -\n)?([-A-Za-z:!\\[\\]\"\\\\ #\n0-9.]{0,40}\n){0,3}(COMMIT\n)?") {
        let _ = parse(&text, Family::V4);
    }
}
