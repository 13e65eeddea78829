//! Whatever is printed as nft text reads back the same, in both flavours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use switchboard_ruleset::nft::{
    AddressType, BaseChain, BinaryOp, Carried, ChainKind, Comment, CtKey, CtState, CtStates,
    DataType, Element, ElementAttrs, Expr, Fib, FibAddress, Field, Hook, Ident, Ifname, Key,
    MapRef, MatchOp, MetaKey, NatFlags, NatTarget, NatTo, NftChain, NftFamily, NftMap, NftRule,
    NftSet, NftTable, NftTables, Numgen, NumgenMode, Policy, Reject, Right, Scalar, SetFlags,
    SetOp, SetOptions, SetRef, Statement, TableKey, TcpFlags, Unreachable, Value, Verdict,
    list_text, parse, script_text,
};
use switchboard_ruleset::{Family, Protocol};

fn ident() -> impl Strategy<Value = Ident> {
    "[a-z]{3,8}-[A-Z0-9]{1,8}(/[a-z0-9.]{1,9}){0,3}"
        .prop_map(|name| Ident::new(&name).expect("a valid name"))
}

/// Texts that try to break out of their quotes.
fn comment() -> impl Strategy<Value = Comment> {
    prop_oneof![
        any::<String>(),
        "[\"'\\\\ \t\n#;{}a-]{0,20}",
        Just("x\" accept; }\n delete table inet filter #".to_owned()),
        "[a-z]{0,300}",
    ]
    .prop_map(|text| Comment::new(&text))
}

fn milliseconds() -> impl Strategy<Value = Duration> {
    (0..u64::from(u32::MAX)).prop_map(Duration::from_millis)
}

fn data_type() -> impl Strategy<Value = DataType> {
    use DataType::{
        CtState, FibAddrType, IcmpType, Icmpv6Type, Ifname, InetProto, InetService, Integer,
        Ipv4Addr, Ipv6Addr, Mark, NfProto, PktType,
    };
    select(vec![
        Ipv4Addr,
        Ipv6Addr,
        InetProto,
        InetService,
        Mark,
        Ifname,
        NfProto,
        IcmpType,
        Icmpv6Type,
        CtState,
        FibAddrType,
        PktType,
        Integer,
    ])
}

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    select(Family::ALL.to_vec())
}

fn address_scalar(family: Family) -> BoxedStrategy<Scalar> {
    let length = 0..=family.address_bits();
    prop_oneof![
        address(family).prop_map(Scalar::from),
        (address(family), length).prop_map(|(address, length)| {
            Scalar::net(IpNet::new(address, length).expect("length fits the family"))
        }),
        (address(family), address(family))
            .prop_map(|(a, b)| Scalar::AddressRange(Box::new((a.min(b), a.max(b))))),
    ]
    .boxed()
}

fn scalar(due: DataType) -> BoxedStrategy<Scalar> {
    let state = select(vec![CtState::New, CtState::Invalid, CtState::Established]);
    match due {
        DataType::Ipv4Addr => address_scalar(Family::V4),
        DataType::Ipv6Addr => address_scalar(Family::V6),
        DataType::InetProto => any::<u8>().prop_map(|p| Scalar::Proto(Protocol(p))).boxed(),
        DataType::InetService => prop_oneof![
            any::<u16>().prop_map(Scalar::Port),
            any::<(u16, u16)>().prop_map(|(a, b)| Scalar::PortRange(a.min(b), a.max(b))),
        ]
        .boxed(),
        DataType::Mark => any::<u32>().prop_map(Scalar::Mark).boxed(),
        DataType::Integer => any::<u32>().prop_map(Scalar::Number).boxed(),
        DataType::Ifname => "[!#-)+.0-Z^-~]{1,15}\\*?"
            .prop_map(|name| Scalar::Ifname(Ifname::new(&name).expect("a valid name")))
            .boxed(),
        DataType::NfProto => family().prop_map(Scalar::NfProto).boxed(),
        DataType::IcmpType => any::<u8>().prop_map(Scalar::IcmpType).boxed(),
        DataType::Icmpv6Type => any::<u8>().prop_map(Scalar::Icmpv6Type).boxed(),
        DataType::CtState => vec(state, 1..3)
            .prop_map(|states| Scalar::CtState(CtStates::of(&states)))
            .boxed(),
        DataType::FibAddrType => select(vec![AddressType::Local, AddressType::Unicast])
            .prop_map(Scalar::AddressType)
            .boxed(),
        DataType::PktType => Just(Scalar::PacketType(
            switchboard_ruleset::nft::PacketType::Host,
        ))
        .boxed(),
    }
}

fn key(types: &[DataType]) -> BoxedStrategy<Key> {
    let parts: Vec<_> = types.iter().map(|one| scalar(*one)).collect();
    parts.prop_map(Key::from_iter).boxed()
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        select(vec![
            Verdict::Accept,
            Verdict::Drop,
            Verdict::Continue,
            Verdict::Return
        ]),
        ident().prop_map(Verdict::Jump),
        ident().prop_map(Verdict::Goto),
    ]
}

/// An expression of one part, with its type.
fn part() -> impl Strategy<Value = (Expr, DataType)> {
    select(vec![
        (Expr::Payload(Field::IpSaddr), DataType::Ipv4Addr),
        (Expr::Payload(Field::Ip6Daddr), DataType::Ipv6Addr),
        (Expr::Payload(Field::ThDport), DataType::InetService),
        (Expr::Payload(Field::UdpSport), DataType::InetService),
        (Expr::Payload(Field::IpProtocol), DataType::InetProto),
        (Expr::Payload(Field::IcmpType), DataType::IcmpType),
        (Expr::Meta(MetaKey::L4proto), DataType::InetProto),
        (Expr::Meta(MetaKey::Mark), DataType::Mark),
        (Expr::Meta(MetaKey::Iifname), DataType::Ifname),
        (Expr::Meta(MetaKey::Oif), DataType::Ifname),
        (Expr::Meta(MetaKey::Nfproto), DataType::NfProto),
        (Expr::Ct(CtKey::Mark), DataType::Mark),
        (
            Expr::Fib(Fib {
                address: FibAddress::Daddr,
            }),
            DataType::FibAddrType,
        ),
        (Expr::Numgen(Numgen::random(7)), DataType::Integer),
        (
            Expr::Numgen(Numgen {
                mode: NumgenMode::Inc,
                modulus: 3,
                offset: 4,
            }),
            DataType::Integer,
        ),
    ])
}

/// An expression of some parts, with their types.
fn keyed() -> impl Strategy<Value = (Expr, Vec<DataType>)> {
    vec(part(), 1..4).prop_map(|mut parts| {
        let types = parts.iter().map(|(_, one)| *one).collect();
        let expr = match parts.len() {
            1 => parts.remove(0).0,
            _ => Expr::Concat(parts.into_iter().map(|(expr, _)| expr).collect()),
        };
        (expr, types)
    })
}

fn map_ref<V: Clone + std::fmt::Debug + 'static>(
    types: &[DataType],
    value: impl Strategy<Value = V> + 'static,
) -> BoxedStrategy<MapRef<V>> {
    prop_oneof![
        ident().prop_map(MapRef::Named),
        vec((key(types), value), 0..4).prop_map(MapRef::Anonymous),
    ]
    .boxed()
}

fn mark_expr() -> impl Strategy<Value = Expr> {
    let op = select(vec![BinaryOp::And, BinaryOp::Or, BinaryOp::Xor]);
    let first = prop_oneof![
        any::<u32>().prop_map(|mark| Expr::Literal(Scalar::Mark(mark))),
        Just(Expr::Meta(MetaKey::Mark)),
        Just(Expr::Ct(CtKey::Mark)),
    ];
    (first, vec((op, any::<u32>()), 0..4)).prop_map(|(first, ops)| {
        ops.into_iter()
            .fold(first, |left, (op, right)| Expr::Binary {
                op,
                left: Box::new(left),
                right,
            })
    })
}

fn comparison() -> impl Strategy<Value = Statement> {
    let ops = vec![
        MatchOp::Eq,
        MatchOp::Ne,
        MatchOp::Lt,
        MatchOp::Gt,
        MatchOp::Le,
        MatchOp::Ge,
    ];
    let one = part().prop_flat_map(move |(left, due)| {
        (select(ops.clone()), scalar(due)).prop_map(move |(op, value)| Statement::Match {
            left: left.clone(),
            op,
            right: Right::Value(value),
        })
    });
    let set = keyed().prop_flat_map(|(left, types)| {
        let set = prop_oneof![
            ident().prop_map(SetRef::Named),
            vec(key(&types), 0..4).prop_map(SetRef::Anonymous)
        ];
        (set, any::<bool>()).prop_map(move |(set, negated)| Statement::Match {
            left: left.clone(),
            op: if negated { MatchOp::Ne } else { MatchOp::Eq },
            right: Right::Set(set),
        })
    });
    prop_oneof![one, set, flag_comparison()]
}

fn flag_comparison() -> impl Strategy<Value = Statement> {
    let flags = |bits| Right::Value(Scalar::TcpFlags(TcpFlags(bits)));
    let left = Expr::Payload(Field::TcpFlags);
    let plain = left.clone();
    let sign = select(vec![MatchOp::AnyFlag, MatchOp::Eq, MatchOp::Ne]);
    prop_oneof![
        (sign, 1..64_u8).prop_map(move |(op, bits)| Statement::Match {
            left: plain.clone(),
            op,
            right: flags(bits),
        }),
        (any::<bool>(), 1..64_u8, 0..64_u8).prop_map(move |(negated, mask, bits)| {
            // `& mask != 0` is the same as `AnyFlag` and is read as that.
            let negated = negated && bits != 0;
            Statement::Match {
                left: Expr::Binary {
                    op: BinaryOp::And,
                    left: Box::new(left.clone()),
                    right: mask.into(),
                },
                op: if negated { MatchOp::Ne } else { MatchOp::Eq },
                right: flags(bits),
            }
        }),
    ]
}

fn nat_flags() -> impl Strategy<Value = NatFlags> {
    any::<[bool; 3]>().prop_map(|[random, fully_random, persistent]| NatFlags {
        random,
        fully_random,
        persistent,
    })
}

fn nat_to(family: Family) -> impl Strategy<Value = NatTo> {
    let fixed = (address(family), option::of(1..=u16::MAX))
        .prop_map(|(address, port)| NatTo::Fixed(NatTarget { address, port }));
    let data = (address(family), option::of(any::<u16>())).prop_map(|(address, port)| {
        let parts = [Some(Scalar::from(address)), port.map(Scalar::Port)];
        parts.into_iter().flatten().collect::<Key>()
    });
    let lookup = keyed().prop_flat_map(move |(key, types)| {
        map_ref(&types, data.clone()).prop_map(move |map| NatTo::Lookup {
            family,
            key: key.clone(),
            map,
        })
    });
    prop_oneof![fixed, lookup]
}

/// Only what the family does not read as a bare `reject`.
fn reject() -> impl Strategy<Value = Reject> {
    select(vec![
        Reject::Default,
        Reject::TcpReset,
        Reject::Icmp(Family::V4, Unreachable::Host),
        Reject::Icmp(Family::V6, Unreachable::Net),
        Reject::Icmpx(Unreachable::AdminProhibited),
    ])
}

fn set_update() -> impl Strategy<Value = Statement> {
    let op = select(vec![SetOp::Add, SetOp::Update, SetOp::Delete]);
    let data = prop_oneof![
        keyed().prop_map(|(expr, _)| expr),
        any::<[u8; 4]>().prop_map(|ip| Expr::Literal(Scalar::V4(Ipv4Addr::from(ip)))),
        any::<[u8; 16]>().prop_map(|ip| Expr::Literal(Scalar::V6(Ipv6Addr::from(ip)))),
        any::<u16>().prop_map(|port| Expr::Literal(Scalar::Port(port))),
    ];
    let parts = (
        op,
        ident(),
        keyed(),
        option::of(milliseconds()),
        option::of(data),
    );
    parts.prop_map(|(op, set, (key, _), timeout, data)| Statement::SetUpdate {
        op,
        set,
        key,
        timeout,
        data,
    })
}

fn statement(family: Family) -> impl Strategy<Value = Statement> {
    let vmap = keyed().prop_flat_map(|(key, types)| {
        map_ref(&types, verdict()).prop_map(move |map| Statement::VerdictMap {
            key: key.clone(),
            map,
        })
    });
    let marks = keyed().prop_flat_map(|(key, types)| {
        map_ref(&types, key_of_mark()).prop_map(move |map| {
            Statement::SetMark(Expr::Lookup {
                key: Box::new(key.clone()),
                map,
            })
        })
    });
    prop_oneof![
        4 => comparison(),
        1 => verdict().prop_map(Statement::Verdict),
        1 => vmap,
        1 => marks,
        1 => mark_expr().prop_map(Statement::SetMark),
        1 => mark_expr().prop_map(Statement::SetCtMark),
        1 => (nat_to(family), nat_flags()).prop_map(|(to, flags)| Statement::Dnat { to, flags }),
        1 => (nat_to(family), nat_flags()).prop_map(|(to, flags)| Statement::Snat { to, flags }),
        1 => (option::of(1..=u16::MAX), nat_flags())
            .prop_map(|(port, flags)| Statement::Redirect { port, flags }),
        1 => nat_flags().prop_map(Statement::Masquerade),
        1 => reject().prop_map(Statement::Reject),
        1 => set_update(),
        1 => Just(Statement::Notrack),
        1 => any::<(u64, u64)>()
            .prop_map(|(packets, bytes)| Statement::Counter { packets, bytes }),
        1 => option::of(comment()).prop_map(|prefix| Statement::Log { prefix }),
    ]
}

fn key_of_mark() -> impl Strategy<Value = Key> {
    any::<u32>().prop_map(|mark| Key::from([Scalar::Mark(mark)]))
}

fn rule(family: Family) -> impl Strategy<Value = NftRule> {
    let parts = (vec(statement(family), 1..4), option::of(comment()));
    parts.prop_map(|(statements, comment)| NftRule {
        statements: statements.into(),
        comment,
        origin: None,
    })
}

fn chain(family: Family) -> impl Strategy<Value = NftChain> {
    let hooks = vec![
        Hook::Prerouting,
        Hook::Input,
        Hook::Forward,
        Hook::Output,
        Hook::Postrouting,
    ];
    let kinds = vec![ChainKind::Filter, ChainKind::Nat, ChainKind::Route];
    let policies = vec![Policy::Accept, Policy::Drop];
    let priority = prop_oneof![-400..400_i32, (1 - i32::MAX)..i32::MAX];
    let base = (select(kinds), select(hooks), priority, select(policies)).prop_map(
        |(kind, hook, priority, policy)| BaseChain {
            kind,
            hook,
            priority,
            policy,
        },
    );
    let parts = (
        option::of(base),
        option::of(comment()),
        vec(rule(family), 0..4),
    );
    parts.prop_map(|(base, comment, rules)| NftChain {
        base,
        comment,
        rules,
    })
}

fn options() -> impl Strategy<Value = SetOptions> {
    let parts = (
        any::<[bool; 5]>(),
        option::of(milliseconds()),
        option::of(any::<u32>()),
        option::of(comment()),
    );
    parts.prop_map(|(bits, timeout, size, comment)| {
        let [constant, interval, has_timeout, dynamic, auto_merge] = bits;
        SetOptions {
            flags: SetFlags {
                constant,
                interval,
                timeout: has_timeout || timeout.is_some(),
                dynamic,
            },
            timeout,
            gc_interval: timeout,
            size,
            auto_merge,
            comment,
        }
    })
}

fn attrs() -> impl Strategy<Value = ElementAttrs> {
    let parts = (
        option::of(comment()),
        option::of(milliseconds()),
        option::of(milliseconds()),
    );
    parts.prop_map(|(comment, timeout, expires)| {
        ElementAttrs::from(Carried {
            comment,
            timeout,
            expires,
        })
    })
}

fn set() -> impl Strategy<Value = NftSet> {
    vec(data_type(), 1..4).prop_flat_map(|types| {
        let elements = btree_map(key(&types), attrs(), 0..9);
        (options(), elements).prop_map(move |(options, elements)| NftSet {
            key: types.clone(),
            options,
            elements: elements.into_iter().collect(),
        })
    })
}

fn map() -> impl Strategy<Value = NftMap> {
    let types = (vec(data_type(), 1..4), option::of(vec(data_type(), 1..3)));
    types.prop_flat_map(|(types, data)| {
        let value = match &data {
            None => verdict().prop_map(Value::Verdict).boxed(),
            Some(data) => key(data).prop_map(Value::Data).boxed(),
        };
        let element = (value, attrs()).prop_map(|(value, attrs)| Element { value, attrs });
        let elements = btree_map(key(&types), element, 0..9);
        (options(), elements).prop_map(move |(options, elements)| NftMap {
            key: types.clone(),
            data: data.clone(),
            options,
            elements: elements.into_iter().collect(),
        })
    })
}

fn tables() -> impl Strategy<Value = NftTables> {
    let families = select(vec![NftFamily::Ip, NftFamily::Ip6, NftFamily::Inet]);
    families.prop_flat_map(|family| {
        let of = match family {
            NftFamily::Ip6 => Family::V6,
            NftFamily::Ip | NftFamily::Inet => Family::V4,
        };
        let parts = (
            ident(),
            option::of(comment()),
            vec((ident(), set()), 0..3),
            vec((ident(), map()), 0..3),
            vec((ident(), chain(of)), 0..4),
        );
        parts.prop_map(move |(name, comment, sets, maps, chains)| {
            let mut table = NftTable {
                comment,
                ..NftTable::default()
            };
            for (name, set) in sets {
                table.put_set(name, Arc::new(set));
            }
            for (name, map) in maps {
                table.put_map(name, Arc::new(map));
            }
            for (name, chain) in chains {
                table.put_chain(name, Arc::new(chain));
            }
            NftTables {
                tables: [(TableKey { family, name }, table)].into(),
            }
        })
    })
}

proptest! {
    #[test]
    fn printing_then_parsing_gives_the_same(tables in tables()) {
        let listed = list_text(&tables);
        let read = parse(&listed).map_err(|error| format!("{error}\n{listed}"));
        prop_assert_eq!(&read, &Ok(tables.clone()), "{}", listed);
        let script = script_text(&tables);
        let read = parse(&script).map_err(|error| format!("{error}\n{script}"));
        prop_assert_eq!(&read, &Ok(tables));
    }

    #[test]
    fn one_rule_is_one_line(rule in rule(Family::V4)) {
        let line = rule.line(NftFamily::Ip).to_string();
        prop_assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(table ip t \\{\n)?(chain c \\{\n|set s \\{ type ipv4_addr; )?([-a-z:;!\\[\\]\"\\\\ #\n0-9.{}@,&|=()]{0,40}\n){0,3}\\}?") {
        let _ = parse(&text);
    }

    #[test]
    fn no_words_make_the_parser_panic(words in vec(select(WORDS.to_vec()), 0..12)) {
        let _ = parse(&format!("table inet t {{ chain c {{ {} }} }}", words.join(" ")));
    }
}

const WORDS: &[&str] = &[
    "ip",
    "saddr",
    "tcp",
    "dport",
    "flags",
    "ct",
    "state",
    "status",
    "new",
    "!",
    "!=",
    "==",
    "&",
    "|",
    "^",
    "(",
    ")",
    "{",
    "}",
    "@x",
    "@",
    ",",
    ":",
    ".",
    "/",
    "map",
    "vmap",
    "set",
    "mark",
    "meta",
    "dnat",
    "to",
    "numgen",
    "random",
    "mod",
    "0",
    "1",
    "0x5",
    "1.1.1.1",
    "1.1.1.1:80",
    ":80",
    "jump",
    "accept",
    "syn",
    "fin",
    "update",
    "timeout",
    "5m",
    "comment",
    "\"a\"",
    "reject",
    "with",
    "icmp",
    "fib",
    "type",
    "local",
    "hook",
    "priority",
    "filter",
    "-",
    "+",
    "policy",
    ";",
    "\n",
    "counter",
    "packets",
    "99999999999999999999",
    "log",
    "prefix",
    "-1",
    "*",
    "elements",
    "=",
];
