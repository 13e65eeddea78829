//! Whatever a proxy is asked for and whatever fails meanwhile: clients of what stays are served all the time, and once
//! nothing fails and nobody is connected any more, the kernel has what a full compile gives.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proxy::{RuleSink as _, SyncKind};
use rules::{Capabilities, ClusterSizes, ClusterView, Compiler};
use ruleset::Family;
use ruleset::ipvs::{IpvsTables, SetEntry};
use switchboard_node::IpvsSink;

use crate::cluster::{Like, clusters, facts, view};
use crate::kernel::Kernel;
use crate::machine::Machine;

/// What happens at a moment.
#[derive(Clone, Debug)]
struct Moment {
    services: Vec<Option<Like>>,
    kind: SyncKind,
    /// Which command of it is refused, if one is.
    fails_after: Option<usize>,
    /// The proxy was started again.
    restarts: bool,
    /// A minute passes after it.
    drains: bool,
    /// Which endpoints have connections then.
    busy: u8,
}

fn moment() -> impl Strategy<Value = Moment> {
    let kind = proptest::sample::select(vec![SyncKind::Full, SyncKind::Partial]);
    let fails_after = option::weighted(0.4, 0..60_usize);
    let flags = (proptest::bool::weighted(0.2), any::<bool>());
    (clusters(), kind, fails_after, flags, any::<u8>()).prop_map(
        |(services, kind, fails_after, (restarts, drains), busy)| Moment {
            services,
            kind,
            fails_after,
            restarts,
            drains,
            busy,
        },
    )
}

fn sink(machine: &Machine) -> IpvsSink {
    IpvsSink::new(machine.ipvs(), machine.iptables(), Capabilities::default())
}

fn compile(view: &ClusterView) -> BTreeMap<Family, IpvsTables> {
    let compiled = Compiler::new(Capabilities::default()).ipvs(view, &facts());
    let tables = compiled.tables.into_iter();
    tables
        .map(|(family, tables)| (family, IpvsTables::clone(&tables)))
        .collect()
}

/// Every real server has connections whose number's bit is set.
fn connect(machine: &Machine, busy: u8) {
    let kernel = &mut machine.state().kernel;
    let servers = kernel.tables.values().flat_map(|tables| &tables.servers);
    let reals =
        servers.flat_map(|(key, server)| server.real_servers.keys().map(|real| (*key, *real)));
    let connections = reals.zip(0_u32..).map(|(place, number)| {
        let count = u64::from(busy >> (number % 8) & 1);
        (place, (count, 0))
    });
    kernel.connections = connections.collect();
}

/// The state of a kernel that is told after one command of a commit that leads to these tables.
struct Seen<'a> {
    before: &'a Kernel,
    now: &'a Kernel,
    after: &'a BTreeMap<Family, IpvsTables>,
}

impl Seen<'_> {
    fn check(&self, family: Family) {
        let (before, now) = (&self.before.tables[&family], &self.now.tables[&family]);
        let after = &self.after[&family];
        for (key, wanted) in &after.servers {
            let Some(old) = before.servers.get(key) else {
                continue;
            };
            let server = now.servers.get(key);
            let server = server.unwrap_or_else(|| panic!("{key} is in both, and missed"));
            if old == wanted {
                assert_eq!(server, wanted, "{key} does not change");
            }
            for (real, served) in &wanted.real_servers {
                if old.real_servers.get(real).is_some_and(|old| old.weight > 0) {
                    assert_eq!(
                        server.real_servers.get(real),
                        Some(served),
                        "{real} of {key}"
                    );
                }
            }
        }
        for (name, set) in &after.sets {
            let Some(old) = before.sets.get(name) else {
                continue;
            };
            for entry in old.entries.clone().intersection(set.entries.clone()) {
                assert!(now.sets[name].entries.contains(&entry), "{entry} in {name}");
            }
        }
        self.check_bound(family);
    }

    /// What is bound is listed, was served before it was bound, and stays if it is wanted.
    fn check_bound(&self, family: Family) {
        let (now, after) = (&self.now.tables[&family], &self.after[&family]);
        for address in self.now.device.iter().flatten().copied() {
            if Family::of(address) != family {
                continue;
            }
            assert!(
                now.is_bound(address),
                "{address} is on the device, but not listed"
            );
            if self.before.is_bound(address) || !after.is_bound(address) {
                continue;
            }
            let own = after.servers.iter();
            for (key, wanted) in own.filter(|(key, _)| key.address.ip() == address) {
                let server = &now.servers[key];
                let mut reals = wanted.real_servers.iter();
                assert!(reals.all(|(real, served)| server.real_servers.get(real) == Some(served)));
            }
        }
        for address in self.before.device.iter().flatten().copied() {
            if Family::of(address) == family && after.is_bound(address) {
                assert!(self.now.is_bound(address), "{address} stays");
            }
        }
    }

    /// What a program leaves that could do all: no new virtual server without anybody, if it is to have somebody.
    fn check_whole(&self, family: Family) {
        let now = &self.now.tables[&family];
        for (key, wanted) in &self.after[&family].servers {
            if let Some(server) = now.servers.get(key)
                && !self.before.tables[&family].servers.contains_key(key)
            {
                let has_all = wanted
                    .real_servers
                    .keys()
                    .all(|real| server.real_servers.contains_key(real));
                assert!(has_all, "{key} has {:?}", server.real_servers);
            }
        }
    }
}

/// Has a proxy do something, and looks at what packets find meanwhile.
fn watch(machine: &Machine, view: &ClusterView, act: impl FnOnce() -> bool) -> bool {
    machine.state().history.clear();
    let before = machine.kernel();
    let after = compile(view);
    let done = act();
    let history = std::mem::take(&mut machine.state().history);
    for (now, is_last) in &history {
        let seen = Seen {
            before: &before,
            now,
            after: &after,
        };
        for family in Family::ALL {
            seen.check(family);
            if done && *is_last {
                seen.check_whole(family);
            }
        }
    }
    done
}

/// What is there of a proxy, as it should be: what drains aside.
fn check_settled(machine: &Machine, view: &ClusterView) {
    let kernel = machine.kernel();
    for (family, wanted) in compile(view) {
        let there = &kernel.tables[&family];
        assert_eq!(there.servers, wanted.servers);
        assert_eq!(there.sets, wanted.sets);
        assert_eq!(own_rules(there), own_rules(&wanted));
        let listed: Vec<_> = there.addresses().collect();
        let bound = kernel.device.iter().flatten().copied();
        let bound: Vec<_> = bound.filter(|one| Family::of(*one) == family).collect();
        assert_eq!(bound, listed);
    }
}

/// As text, since built-in chains that are empty may be there or not.
fn own_rules(tables: &IpvsTables) -> Vec<String> {
    let text = ruleset::xt::save_text(&tables.rules);
    let lines = text
        .lines()
        .filter(|line| line.contains("KUBE-") || line.starts_with("-A"));
    lines.map(str::to_owned).collect()
}

fn live(moments: Vec<Moment>) {
    let machine = Machine::new();
    let mut proxy = sink(&machine);
    let mut last = ClusterView::default();
    for moment in moments {
        let view = view(&moment.services);
        if moment.restarts {
            proxy = sink(&machine);
        }
        connect(&machine, moment.busy);
        machine.state().fails_after = moment.fails_after;
        watch(&machine, &view, || {
            let done = proxy.commit(moment.kind, &facts(), &view, ClusterSizes::SMALL);
            done.is_ok()
        });
        machine.state().fails_after = None;
        connect(&machine, moment.busy.rotate_left(3));
        if moment.drains {
            watch(&machine, &view, || proxy.drain().is_ok());
        }
        last = view;
    }
    connect(&machine, 0);
    let commit = |proxy: &mut IpvsSink, kind| {
        let done = proxy.commit(kind, &facts(), &last, ClusterSizes::SMALL);
        assert_eq!(done, Ok(()));
    };
    commit(&mut proxy, SyncKind::Full);
    check_settled(&machine, &last);
    machine.state().history.clear();
    commit(&mut proxy, SyncKind::Partial);
    commit(&mut proxy, SyncKind::Full);
    commit(&mut sink(&machine), SyncKind::Full);
    assert_eq!(machine.state().history, [], "there is nothing to do");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// PROXY-57 … PROXY-61
    #[test]
    fn clients_are_served_and_all_is_well_at_last(moments in vec(moment(), 1..6)) {
        live(moments);
    }
}

/// Every single command of a change that touches all there is: refused once, and repaired by the next commit.
#[test]
fn each_command_may_fail() {
    let all = |endpoints| {
        let one = Like {
            has_node_port: true,
            has_external: true,
            balanced: Some(true),
            is_local: true,
            ..Like::plain(endpoints)
        };
        view(&[Some(one), Some(Like::plain(endpoints + 1)), None])
    };
    let changes = [
        (ClusterView::default(), all(3)),
        (all(3), all(6)),
        (
            all(3),
            view(&[Some(Like::plain(1)), None, Some(Like::plain(2))]),
        ),
        (all(3), ClusterView::default()),
    ];
    for (from, to) in changes {
        for kind in [SyncKind::Full, SyncKind::Partial] {
            let mut refused = 0;
            while fail_at(refused, &from, &to, kind) {
                refused += 1;
            }
            assert!(refused > 20, "{refused} commands");
        }
    }
}

/// Whether there was such a command.
fn fail_at(number: usize, from: &ClusterView, to: &ClusterView, kind: SyncKind) -> bool {
    let machine = Machine::new();
    let mut proxy = sink(&machine);
    let done = proxy.commit(SyncKind::Full, &facts(), from, ClusterSizes::SMALL);
    assert_eq!(done, Ok(()));
    machine.state().fails_after = Some(number);
    let done = watch(&machine, to, || {
        proxy
            .commit(kind, &facts(), to, ClusterSizes::SMALL)
            .is_ok()
    });
    machine.state().fails_after = None;
    let again = watch(&machine, to, || {
        let done = proxy.commit(SyncKind::Partial, &facts(), to, ClusterSizes::SMALL);
        done.is_ok()
    });
    assert!(again);
    check_settled(&machine, to);
    !done
}

/// The set that lists what is bound, and the device, tell of addresses each; whichever a killed proxy has left alone.
#[test]
fn half_bound_addresses_are_settled() {
    let view = view(&[Some(Like::plain(3)), None, None]);
    let stray: std::net::IpAddr = "10.96.0.77".parse().unwrap();
    let wanted: std::net::IpAddr = "10.96.0.1".parse().unwrap();
    for address in [stray, wanted] {
        for (on_device, in_set) in [(true, false), (false, true)] {
            let machine = Machine::new();
            let commit = || {
                let done =
                    sink(&machine).commit(SyncKind::Full, &facts(), &view, ClusterSizes::SMALL);
                assert_eq!(done, Ok(()));
            };
            commit();
            {
                let mut state = machine.state();
                let device = state.kernel.device.as_mut().unwrap();
                device.remove(&address);
                if on_device {
                    device.insert(address);
                }
                let tables = state.kernel.tables.get_mut(&Family::V4).unwrap();
                let set = tables.sets.get_mut(&tables.bound.clone()).unwrap();
                set.entries.remove(&SetEntry::Address(address));
                if in_set {
                    set.entries.insert(SetEntry::Address(address));
                }
            }
            commit();
            check_settled(&machine, &view);
        }
    }
}
