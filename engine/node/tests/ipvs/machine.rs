//! Tools that write to a [`Kernel`] and read it, and fail when they are told to.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Output};
use std::sync::{Arc, Mutex, MutexGuard};

use ipnet::IpNet;
use ruleset::Family;
use ruleset::ipvs::{
    IpvsCommand, ServerKey, SetEntry, SetKind, SetName, parse_servers, parse_sets, servers_text,
    sets_text,
};
use ruleset::xt::{XtTables, save_text};
use switchboard_node::{IptablesTools, IpvsTools, Programs, Variant};

use crate::kernel::Kernel;
use crate::restore;

/// A machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) kernel: Kernel,
    /// After each command, and whether it was the last of its program's.
    pub(crate) history: Vec<(Kernel, bool)>,
    /// How many commands are done before one is refused.
    pub(crate) fails_after: Option<usize>,
    /// What is not installed.
    pub(crate) missing: BTreeSet<&'static str>,
    /// What `ipvsadm` says of a kernel without IPVS.
    pub(crate) has_ipvs: bool,
    /// What `ip` says of addresses on other devices than a proxy's.
    pub(crate) addresses: String,
    /// What others have that no proxy could write: lines of `ipvsadm -S` and of `ipset save`.
    pub(crate) strange_servers: String,
    pub(crate) strange_sets: String,
    /// What `sysctl -w` was given.
    pub(crate) settings: BTreeSet<String>,
    /// How often a program was started.
    pub(crate) started: Vec<String>,
}

/// What the node has at first.
const ADDRESSES: &str = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n\
    2: eth0    inet 192.168.1.1/24 scope global eth0\\       valid_lft forever preferred_lft forever\n\
    2: eth0    inet6 fd00:1::1/64 scope global \\       valid_lft forever preferred_lft forever\n";

impl Machine {
    /// One that has IPVS, and nothing of a proxy.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            kernel: Kernel::new(),
            history: Vec::new(),
            fails_after: None,
            missing: BTreeSet::new(),
            has_ipvs: true,
            addresses: ADDRESSES.to_owned(),
            strange_servers: String::new(),
            strange_sets: String::new(),
            settings: BTreeSet::new(),
            started: Vec::new(),
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn kernel(&self) -> Kernel {
        self.state().kernel.clone()
    }

    pub(crate) fn ipvs(&self) -> IpvsTools {
        IpvsTools::by(Arc::new(self.clone()))
    }

    pub(crate) fn iptables(&self) -> IptablesTools {
        IptablesTools::new(Variant::Default).by(Arc::new(self.clone()))
    }
}

impl Programs for Machine {
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> io::Result<Output> {
        let mut state = self.state();
        if state.missing.contains(program) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state
            .started
            .push(format!("{program} {}", arguments.join(" ")));
        let done = state.run(program, arguments, input);
        if let Some((_, is_last)) = state.history.last_mut() {
            *is_last = true;
        }
        let (code, stdout, stderr) = match done {
            Ok(said) => (0, said, String::new()),
            Err((code, said)) => (code, String::new(), said),
        };
        Ok(Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.into_bytes(),
            stderr: stderr.into_bytes(),
        })
    }
}

/// What a program prints, or its exit code and what it complains of.
type Said = Result<String, (i32, String)>;

impl State {
    fn run(&mut self, program: &str, arguments: &[&str], input: &str) -> Said {
        let family = match program.starts_with("ip6") {
            true => Family::V6,
            false => Family::V4,
        };
        match (program, arguments) {
            ("ipvsadm", _) if !self.has_ipvs => Err((
                2,
                "Can't initialize ipvs: Protocol not available\n\
                 Are you sure that IP Virtual Server is built in the kernel or as module?\n"
                    .to_owned(),
            )),
            ("ipvsadm", ["-S", "-n"]) => Ok(self.saved_servers()),
            ("ipvsadm", ["-L", "-n"]) => Ok(self.listed_servers()),
            ("ipvsadm", ["-R"]) => self.restore_servers(input),
            ("ipset", ["save"]) => Ok(self.saved_sets()),
            // What is asked only to learn whether it can be asked.
            ("ipset", ["list", "-name"])
            | ("sysctl", ["-n", "net.ipv4.vs.conntrack"])
            | ("iptables-restore" | "ip6tables-restore", [.., "--test"]) => Ok(String::new()),
            ("sysctl", ["-q", "-w", settings @ ..]) => {
                let settings = settings.iter().map(|one| (*one).to_owned());
                self.settings.extend(settings);
                Ok(String::new())
            }
            ("ipset", ["-exist", "restore"]) => self.each_line(input, Self::set_line),
            ("ip", ["-o", "link", "show", "type", "dummy"]) => Ok(match &self.kernel.device {
                Some(_) => "9: kube-ipvs0: <BROADCAST,NOARP> mtu 1500 qdisc noop state DOWN\n",
                None => "",
            }
            .to_owned()),
            ("ip", ["-o", "address", "show"]) => Ok(self.addresses()),
            ("ip", ["-batch", "-"]) => self.each_line(input, Self::ip_line),
            ("iptables-save" | "ip6tables-save", ["-t", table]) => {
                let mut tables = XtTables::clone(&self.kernel.tables[&family].rules);
                tables.tables.retain(|name, _| name.as_str() == *table);
                Ok(save_text(&tables))
            }
            ("iptables-restore" | "ip6tables-restore", ["--noflush", ..]) => {
                for unit in restore::units(input, family) {
                    self.command(|kernel| kernel.restore(family, unit))
                        .map_err(|said| (1, said))?;
                }
                Ok(String::new())
            }
            _ => panic!("no such command: {program} {arguments:?}"),
        }
    }

    /// Does one command, unless it is the one to be refused.
    fn command(
        &mut self,
        act: impl FnOnce(&mut Kernel) -> Result<(), String>,
    ) -> Result<(), String> {
        match &mut self.fails_after {
            Some(0) => return Err("Memory allocation problem".to_owned()),
            Some(left) => *left -= 1,
            None => {}
        }
        act(&mut self.kernel)?;
        self.history.push((self.kernel.clone(), false));
        Ok(())
    }

    /// A tool that stops at the first line that fails.
    fn each_line(&mut self, input: &str, act: fn(&mut Kernel, &str) -> Result<(), String>) -> Said {
        for line in input.lines() {
            self.command(|kernel| act(kernel, line))
                .map_err(|said| (1, said))?;
        }
        Ok(String::new())
    }

    /// `ipvsadm -R` goes on after a failure, and its exit code is that of the last line.
    fn restore_servers(&mut self, input: &str) -> Said {
        let mut complaints = String::new();
        let mut code = 0;
        for line in input.lines() {
            let done = self.command(|kernel| Self::server_line(kernel, line));
            code = i32::from(done.is_err());
            if let Err(said) = done {
                writeln!(complaints, "{said}").unwrap();
            }
        }
        match complaints.is_empty() {
            true => Ok(String::new()),
            false => Err((code, complaints)),
        }
    }

    fn server_line(kernel: &mut Kernel, line: &str) -> Result<(), String> {
        let key = ServerKey::of_line(line).expect(line);
        let (verb, rest) = line.split_at(2);
        let real = || rest.rsplit("-r ").next().unwrap();
        let command = match verb {
            "-A" | "-E" => {
                let read = parse_servers(&format!("-A{rest}")).expect(line);
                let server = read[&key].clone();
                match verb {
                    "-A" => IpvsCommand::AddServer(key, server),
                    _ => IpvsCommand::EditServer(key, server),
                }
            }
            "-a" | "-e" => {
                let service: Vec<&str> = rest.split(" -r ").collect();
                let text = format!("-A{} -s rr\n-a{rest}\n", service[0]);
                let read = parse_servers(&text).expect(line);
                let (address, real) = read[&key].real_servers.first_key_value().unwrap();
                match verb {
                    "-a" => IpvsCommand::AddReal(key, *address, *real),
                    _ => IpvsCommand::EditReal(key, *address, *real),
                }
            }
            "-d" => IpvsCommand::DeleteReal(key, real().parse().expect(line)),
            "-D" => IpvsCommand::DeleteServer(key),
            _ => panic!("no line of ipvsadm: {line}"),
        };
        kernel.act(Family::of(key.address.ip()), &command)
    }

    fn set_line(kernel: &mut Kernel, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split(' ').collect();
        let name = SetName::new(words[1]).expect(line);
        // Nobody touches what he has not made, or found by its name.
        let known = || kernel.find_set(&name).expect(line);
        let (family, command) = match words[0] {
            "create" => {
                let family = match name.as_str().starts_with("KUBE-6-") {
                    true => Family::V6,
                    false => Family::V4,
                };
                let read = parse_sets(line, family).expect(line);
                (
                    family,
                    IpvsCommand::CreateSet(name.clone(), read[&name].kind),
                )
            }
            "destroy" => (known().0, IpvsCommand::DestroySet(name)),
            verb => {
                let (family, kind) = known();
                let entry = entry(words[2], kind, family);
                match verb {
                    "add" => (family, IpvsCommand::AddEntry(name, entry)),
                    _ => (family, IpvsCommand::RemoveEntry(name, entry)),
                }
            }
        };
        kernel.act_on_set(family, &command)
    }

    fn ip_line(kernel: &mut Kernel, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split(' ').collect();
        let address = |word: &str| word.parse::<IpNet>().expect(line).addr();
        let done = match (words.as_slice(), &mut kernel.device) {
            (["link", "add", "kube-ipvs0", "type", "dummy"], device @ None) => {
                *device = Some(BTreeSet::new());
                true
            }
            (["link", "delete", "kube-ipvs0"], device) => device.take().is_some(),
            (["address", "replace", net, "dev", "kube-ipvs0"], Some(device)) => {
                device.insert(address(net));
                true
            }
            (["address", "delete", net, "dev", "kube-ipvs0"], Some(device)) => {
                device.remove(&address(net))
            }
            _ => false,
        };
        match done {
            true => Ok(()),
            false => Err(format!("RTNETLINK answers: {line}")),
        }
    }

    fn saved_servers(&self) -> String {
        let own = self.kernel.tables.values();
        let own = own.map(|tables| servers_text(&tables.servers));
        self.strange_servers.clone() + &own.collect::<String>()
    }

    fn saved_sets(&self) -> String {
        let own = self.kernel.tables.iter();
        let own = own.map(|(family, tables)| sets_text(&tables.sets, *family));
        self.strange_sets.clone() + &own.collect::<String>()
    }

    fn listed_servers(&self) -> String {
        let mut text = "IP Virtual Server version 1.2.1 (size=4096)\n\
                        Prot LocalAddress:Port Scheduler Flags\n  \
                        -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
            .to_owned();
        for (key, server) in self.kernel.tables.values().flat_map(|of| &of.servers) {
            let protocol = key.protocol.to_string().to_uppercase();
            writeln!(text, "{protocol}  {} {}", key.address, server.scheduler).unwrap();
            for (address, real) in &server.real_servers {
                let (active, inactive) = self
                    .kernel
                    .connections
                    .get(&(*key, *address))
                    .copied()
                    .unwrap_or_default();
                let weight = real.weight;
                writeln!(
                    text,
                    "  -> {address:<28} Masq    {weight:<6} {active:<10} {inactive:<10}"
                )
                .unwrap();
            }
        }
        text
    }

    fn addresses(&self) -> String {
        let bound = self.kernel.device.iter().flatten().map(|address: &IpAddr| {
            let (word, bits) = match Family::of(*address) {
                Family::V4 => ("inet", 32),
                Family::V6 => ("inet6", 128),
            };
            format!("9: kube-ipvs0    {word} {address}/{bits} scope global kube-ipvs0\\       valid_lft forever\n")
        });
        self.addresses.clone() + &bound.collect::<String>()
    }
}

fn entry(text: &str, kind: SetKind, family: Family) -> SetEntry {
    let name = SetName::new("ONE").unwrap();
    let family_words = match (kind, family) {
        (SetKind::Port, _) => "range 0-65535",
        (_, Family::V4) => "family inet",
        (_, Family::V6) => "family inet6",
    };
    let text = format!("create ONE {kind} {family_words}\nadd ONE {text}\n");
    let sets = parse_sets(&text, family).expect(&text);
    *sets[&name].entries.iter().next().unwrap()
}
