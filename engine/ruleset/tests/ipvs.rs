//! IPVS: whatever is printed reads back the same, and transactions lead where they should by steps that a kernel takes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use switchboard_ruleset::ipvs::{
    Forwarding, IpvsCommand, IpvsTables, IpvsTransaction, RealServer, Scheduler, ServerKey, Set,
    SetEntry, SetKind, SetName, SetParts, Sets, VirtualServer, VirtualServers, parse_servers,
    parse_sets, servers_text, sets_text,
};
use switchboard_ruleset::xt;
use switchboard_ruleset::{Family, Protocol};

fn protocol() -> impl Strategy<Value = Protocol> {
    proptest::sample::select(vec![Protocol::TCP, Protocol::UDP, Protocol::SCTP])
}

/// Few, so that they meet again.
fn address(family: Family) -> impl Strategy<Value = IpAddr> {
    (0..6_u8).prop_map(move |host| match family {
        Family::V4 => IpAddr::from([10, 0, 0, host]),
        Family::V6 => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)]),
    })
}

fn socket(family: Family) -> impl Strategy<Value = SocketAddr> {
    (address(family), 80..83_u16).prop_map(SocketAddr::from)
}

fn real_server() -> impl Strategy<Value = RealServer> {
    use Forwarding::{DirectRouting, Masquerading, Tunnelling};
    let forwarding = proptest::sample::select(vec![Masquerading, DirectRouting, Tunnelling]);
    (forwarding, 0..4_u32).prop_map(|(forwarding, weight)| RealServer {
        forwarding,
        weight,
        origin: None,
    })
}

fn virtual_server(family: Family) -> impl Strategy<Value = VirtualServer> {
    let schedulers: Vec<Scheduler> = Scheduler::NAMES.iter().map(|(one, _)| *one).collect();
    let scheduler = proptest::sample::select(schedulers);
    let seconds = option::of(1..i32::MAX.unsigned_abs());
    let reals = btree_map(socket(family), real_server(), 0..4);
    (scheduler, seconds, 0..8_u8, reals).prop_map(|(scheduler, seconds, flags, real_servers)| {
        VirtualServer {
            scheduler,
            persistence: seconds.and_then(NonZeroU32::new),
            scheduler_flags: flags,
            real_servers,
            origin: None,
        }
    })
}

fn servers(family: Family) -> impl Strategy<Value = VirtualServers> {
    let key = (protocol(), socket(family));
    let key = key.prop_map(|(protocol, address)| ServerKey { protocol, address });
    btree_map(key, virtual_server(family), 0..5).prop_map(|servers| {
        let servers = servers.into_iter();
        servers
            .map(|(key, server)| (key, Arc::new(server)))
            .collect()
    })
}

fn net(family: Family) -> impl Strategy<Value = IpNet> {
    (address(family), 1..=family.address_bits())
        .prop_map(|(address, length)| IpNet::new(address, length).unwrap().trunc())
}

fn entry(family: Family, kind: SetKind) -> BoxedStrategy<SetEntry> {
    let place = (address(family), protocol(), any::<u16>());
    match kind {
        SetKind::Port => any::<u16>().prop_map(SetEntry::Port).boxed(),
        SetKind::Address => address(family).prop_map(SetEntry::Address).boxed(),
        SetKind::Net => net(family).prop_map(SetEntry::Net).boxed(),
        SetKind::AddressPort => place
            .prop_map(|(address, protocol, port)| SetEntry::AddressPort(address, protocol, port))
            .boxed(),
        SetKind::AddressPortAddress => (place, address(family))
            .prop_map(|((address, protocol, port), other)| {
                SetEntry::AddressPortAddress(address, protocol, port, other)
            })
            .boxed(),
        SetKind::AddressPortNet => (place, net(family))
            .prop_map(|((address, protocol, port), net)| {
                SetEntry::AddressPortNet(address, protocol, port, net)
            })
            .boxed(),
    }
}

const KINDS: [SetKind; 6] = [
    SetKind::Address,
    SetKind::Net,
    SetKind::AddressPort,
    SetKind::AddressPortAddress,
    SetKind::AddressPortNet,
    SetKind::Port,
];

fn set(family: Family) -> impl Strategy<Value = Set> {
    let kind = proptest::sample::select(KINDS.to_vec());
    kind.prop_flat_map(move |kind| {
        btree_set(entry(family, kind), 0..5).prop_map(move |entries| Set {
            kind,
            entries: entries.into_iter().collect(),
        })
    })
}

fn name(text: &str) -> SetName {
    SetName::new(text).unwrap()
}

/// Sets of which each has the kind that its name says, as a program's have.
fn named_sets(family: Family) -> impl Strategy<Value = Sets> {
    vec((0..KINDS.len(), 0..2_u8), 0..6)
        .prop_flat_map(move |picked| {
            let made = picked.into_iter().map(move |(kind, number)| {
                let name = name(&format!("SET-{kind}-{number}"));
                let kind = KINDS[kind];
                btree_set(entry(family, kind), 0..5).prop_map(move |entries| {
                    let entries = entries.into_iter().collect();
                    (name.clone(), Set { kind, entries })
                })
            });
            made.collect::<Vec<_>>()
        })
        .prop_map(|sets| sets.into_iter().collect())
}

/// Tables of one program, with a rule for each set.
fn tables(family: Family) -> impl Strategy<Value = IpvsTables> {
    let bound = btree_set(address(family), 0..4);
    (servers(family), named_sets(family), bound).prop_map(move |(servers, mut sets, bound)| {
        let rules: String = sets
            .keys()
            .map(|set| format!("-A OURS -m set --match-set {set} dst -j ACCEPT\n"))
            .collect();
        let text = format!("*nat\n:OURS - [0:0]\n{rules}COMMIT\n");
        let bound = Set {
            kind: SetKind::Address,
            entries: bound.into_iter().map(SetEntry::Address).collect(),
        };
        sets.insert(name("BOUND"), bound);
        IpvsTables {
            family,
            servers,
            sets,
            rules: Arc::new(xt::parse(&text, family).unwrap()),
            bound: name("BOUND"),
        }
    })
}

fn family() -> impl Strategy<Value = Family> {
    proptest::sample::select(Family::ALL.to_vec())
}

proptest! {
    /// PROXY-57, PROXY-58
    #[test]
    fn servers_read_back(servers in family().prop_flat_map(servers)) {
        let text = servers_text(&servers);
        prop_assert_eq!(parse_servers(&text).expect(&text), servers);
    }

    /// PROXY-59
    #[test]
    fn sets_read_back(
        (family, sets) in family().prop_flat_map(|family| {
            (Just(family), btree_map("[A-Z][A-Z0-9-]{0,30}", set(family), 0..5))
        })
    ) {
        let sets: Sets = sets.into_iter().map(|(text, set)| (name(&text), set)).collect();
        let text = sets_text(&sets, family);
        prop_assert_eq!(parse_sets(&text, family).expect(&text), sets);
    }

    /// A reader takes any text, and says what is wrong.
    #[test]
    fn strange_text_is_no_panic(text in "(-[Aatuspbrw]|create|add|A|hash:ip|10.0.0.1(:80|,tcp:80)?|[0-9]| |\n){0,30}") {
        let _ = parse_servers(&text);
        let _ = parse_sets(&text, Family::V4);
    }

    /// PROXY-61: a transaction's steps are all possible, and lead to the other tables once what is drained is idle. Until
    /// then what is to go has the weight 0 and nothing else differs. No rule looks into a set that is not there.
    #[test]
    fn transactions_lead_from_one_to_the_other(
        (before, after) in family().prop_flat_map(|family| (tables(family), tables(family)))
    ) {
        let transaction = IpvsTransaction::between(&before, &after);
        let mut now = before.clone();
        for command in &transaction.commands {
            let next = now.apply(command);
            now = next.unwrap_or_else(|| panic!("{command:?} is impossible"));
            let has_set = |wanted: &xt::SetMatch| now.sets.contains_key(&wanted.set);
            prop_assert!(now.rules.set_matches().all(has_set), "{:?}", command);
        }
        for drained in &transaction.drained {
            prop_assert_eq!(drained.server.protocol, Protocol::TCP);
            let real = now.servers[&drained.server].real_servers[&drained.address];
            prop_assert_eq!(real.weight, 0);
            now = now.apply(&drained.removal()).expect("it is still there");
        }
        prop_assert_eq!(&now, &after);
        prop_assert!(IpvsTransaction::between(&now, &after).commands.is_empty());
    }

    /// Make before break: at every moment a server that is in both tables has whoever it has in both.
    #[test]
    fn whoever_stays_is_never_missed(
        (before, after) in family().prop_flat_map(|family| (tables(family), tables(family)))
    ) {
        let stays: BTreeMap<ServerKey, Vec<SocketAddr>> = before.servers.iter().filter_map(|(key, old)| {
            let new = after.servers.get(key)?;
            let both = old.real_servers.keys().filter(|real| new.real_servers.contains_key(real));
            Some((*key, both.copied().collect()))
        }).collect();
        let mut now = before.clone();
        for command in &IpvsTransaction::between(&before, &after).commands {
            now = now.apply(command).expect("transactions apply");
            for (key, reals) in &stays {
                let server = &now.servers[key];
                prop_assert!(reals.iter().all(|real| server.real_servers.contains_key(real)));
            }
            if let IpvsCommand::Bind(SetEntry::Address(address)) = command {
                let wanted = after.servers.keys().filter(|key| key.address.ip() == *address);
                prop_assert!(wanted.into_iter().all(|key| now.servers.contains_key(key)));
            }
        }
    }
}

/// PROXY-59
#[test]
fn sets_hold_what_their_kinds_compare() {
    let first: IpAddr = "10.0.0.1".parse().unwrap();
    let other: IpAddr = "10.9.0.7".parse().unwrap();
    let port = Some((Protocol::TCP, 80));
    let parts = SetParts {
        first,
        port,
        third: Some(other),
    };
    let (tcp, wide) = (Protocol::TCP, "10.9.0.0/16".parse().unwrap());
    for (entry, other_entry) in [
        (SetEntry::Address(first), SetEntry::Address(other)),
        (
            SetEntry::Net("10.0.0.0/24".parse().unwrap()),
            SetEntry::Net(wide),
        ),
        (
            SetEntry::AddressPort(first, tcp, 80),
            SetEntry::AddressPort(first, Protocol::UDP, 80),
        ),
        (
            SetEntry::AddressPortAddress(first, tcp, 80, other),
            SetEntry::AddressPortAddress(first, tcp, 80, first),
        ),
        (
            SetEntry::AddressPortNet(first, tcp, 80, wide),
            SetEntry::AddressPortNet(first, tcp, 81, wide),
        ),
        (SetEntry::Port(80), SetEntry::Port(81)),
    ] {
        for (entry, holds) in [(entry, true), (other_entry, false)] {
            let mut set = Set::new(entry.kind());
            set.entries.insert(entry);
            assert_eq!(set.holds(&parts), holds, "{entry}");
        }
    }
    // A set of ports does not tell protocols apart, but knows two only.
    let mut ports = Set::new(SetKind::Port);
    ports.entries.insert(SetEntry::Port(80));
    let with = |protocol| SetParts {
        port: Some((protocol, 80)),
        ..parts
    };
    assert!(ports.holds(&with(Protocol::UDP)));
    assert!(!ports.holds(&with(Protocol::SCTP)));
}

/// PROXY-57, PROXY-59: each tool gets what follows each other as one text. An address is in its set while it is bound.
#[test]
fn steps_are_what_the_tools_take() {
    let family = Family::V4;
    let key = ServerKey {
        protocol: Protocol::TCP,
        address: "10.96.0.40:80".parse().unwrap(),
    };
    let mut after = IpvsTables::new(family, name("BOUND"));
    let text = "-A -t 10.96.0.40:80 -s rr\n-a -t 10.96.0.40:80 -r 10.244.1.5:8080 -m -w 1\n";
    after.servers = parse_servers(text).unwrap();
    let sets = "create BOUND hash:ip family inet\nadd BOUND 10.96.0.40\n\
                create PORTS bitmap:port range 0-65535\nadd PORTS 80\n";
    after.sets = parse_sets(sets, family).unwrap();
    let rules = "*nat\n:OURS - [0:0]\n-A OURS -m set --match-set PORTS dst -j ACCEPT\nCOMMIT\n";
    after.rules = Arc::new(xt::parse(rules, family).unwrap());
    let before = IpvsTables::new(family, name("BOUND"));
    check_steps(
        &before,
        &after,
        "Sets: create BOUND hash:ip family inet hashsize 1024 maxelem 65536\n\
         create PORTS bitmap:port range 0-65535\nadd PORTS 80\n\
         Rules: *nat\n:OURS - [0:0]\n-A OURS -m set --match-set PORTS dst -j ACCEPT\nCOMMIT\n\
         Servers: -A -t 10.96.0.40:80 -s rr\n-a -t 10.96.0.40:80 -r 10.244.1.5:8080 -m -w 1\n\
         Sets: add BOUND 10.96.0.40\nAddresses: address replace 10.96.0.40/32 dev kube-ipvs0\n",
    );
    let mut other = after.clone();
    let server = Arc::make_mut(other.servers.get_mut(&key).unwrap());
    server.scheduler = Scheduler::LeastConnection;
    let real = server
        .real_servers
        .remove(&"10.244.1.5:8080".parse().unwrap());
    let moved = "10.244.1.6:8080".parse().unwrap();
    server.real_servers.insert(moved, real.unwrap());
    check_steps(
        &after,
        &other,
        "Servers: -E -t 10.96.0.40:80 -s lc\n-a -t 10.96.0.40:80 -r 10.244.1.6:8080 -m -w 1\n\
         -e -t 10.96.0.40:80 -r 10.244.1.5:8080 -m -w 0\n",
    );
    check_steps(
        &after,
        &before,
        "Rules: *nat\n:OURS - [0:0]\n-X OURS\nCOMMIT\n\
         Addresses: address delete 10.96.0.40/32 dev kube-ipvs0\nSets: del BOUND 10.96.0.40\n\
         Servers: -D -t 10.96.0.40:80\nSets: del PORTS 80\ndestroy BOUND\ndestroy PORTS\n",
    );
}

#[track_caller]
fn check_steps(before: &IpvsTables, after: &IpvsTables, expected: &str) {
    let steps = IpvsTransaction::between(before, after).steps();
    let steps = steps
        .iter()
        .map(|step| format!("{:?}: {}", step.tool, step.text));
    assert_eq!(steps.collect::<String>(), expected);
}

/// Whoever reads sets as well understands who looks into them, and keeps what else is not understood.
#[test]
fn a_nodes_rules_name_sets() {
    let text = "*nat\n:OURS - [0:0]\n-A OURS -m set --match-set PORTS dst -j ACCEPT\n\
                -A OURS -m unheard --of -j ACCEPT\nCOMMIT\n";
    let node = xt::parse_node(text, Family::V4).unwrap().tables;
    let named: Vec<_> = node.set_matches().map(|one| one.set.as_str()).collect();
    assert_eq!(named, ["PORTS"]);
    let rules = &node.tables[&xt::TableName::Nat].chains[&xt::ChainName::literal("OURS")].rules;
    assert!(matches!(rules[1].matches[..], [xt::XtMatch::Unknown(_)]));
    let dump = xt::parse_dump(text, Family::V4).unwrap().tables;
    assert_eq!(dump.set_matches().count(), 0);
}
