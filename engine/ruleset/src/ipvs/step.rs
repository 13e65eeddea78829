//! The steps of a transaction: which tool takes which text.
//!
//! **Why.** A kernel takes each command by itself, and a program that runs per command takes longer than the command: so
//! what follows each other and is the same tool's is one text. **Source.** `ipvsadm -R` takes every command of
//! ipvsadm(8), one a line; ipset(8) (`restore`); ip(8) (`-batch`).
//!
//! Whoever runs `ipset` says `-exist`, so that what is there already or gone already is no failure.

use std::net::IpAddr;

use super::server_text::{KeyWords, RealWords, ServerWords};
use super::set_text::creation;
use super::{DEVICE, IpvsCommand, IpvsTransaction, SetEntry, SetName};
use crate::Family;

/// Who takes a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpvsTool {
    /// `ipset restore`, line by line until one fails.
    Sets,
    /// `iptables-restore`, or its twin, all of it or nothing.
    Rules,
    /// `ipvsadm -R`, every line, whichever fail.
    Servers,
    /// `ip -batch`, line by line until one fails.
    Addresses,
}

/// What a tool is given at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpvsStep {
    /// The tool.
    pub tool: IpvsTool,
    /// Its input.
    pub text: String,
}

/// What commands have in common that stand in one text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sets,
    Rules,
    Servers,
    Bind,
    Unbind,
}

impl IpvsTransaction {
    /// The steps, in order. An address is in the set that lists what is bound before the device has it, and until it does
    /// not: otherwise a program of the node could be called there that listens at all its addresses.
    #[must_use]
    pub fn steps(&self) -> Vec<IpvsStep> {
        let alike = |one: &IpvsCommand, next: &IpvsCommand| {
            kind(one) == kind(next) && kind(one) != Kind::Rules
        };
        let texts = self.commands.chunk_by(alike).flat_map(|commands| {
            let tools: &[IpvsTool] = match kind(&commands[0]) {
                Kind::Sets => &[IpvsTool::Sets],
                Kind::Rules => &[IpvsTool::Rules],
                Kind::Servers => &[IpvsTool::Servers],
                Kind::Bind => &[IpvsTool::Sets, IpvsTool::Addresses],
                Kind::Unbind => &[IpvsTool::Addresses, IpvsTool::Sets],
            };
            tools.iter().map(|tool| self.step(*tool, commands))
        });
        texts.collect()
    }

    fn step(&self, tool: IpvsTool, commands: &[IpvsCommand]) -> IpvsStep {
        let texts = commands.iter().map(|command| match tool {
            IpvsTool::Sets => set_line(command, &self.bound, self.family),
            IpvsTool::Rules => rules_text(command, self.family),
            IpvsTool::Servers => server_line(command),
            IpvsTool::Addresses => address_line(command),
        });
        let text = texts.flatten().collect();
        IpvsStep { tool, text }
    }
}

const fn kind(command: &IpvsCommand) -> Kind {
    match command {
        IpvsCommand::CreateSet(..)
        | IpvsCommand::AddEntry(..)
        | IpvsCommand::RemoveEntry(..)
        | IpvsCommand::DestroySet(_) => Kind::Sets,
        IpvsCommand::Rules(_) => Kind::Rules,
        IpvsCommand::Bind(..) => Kind::Bind,
        IpvsCommand::Unbind(..) => Kind::Unbind,
        IpvsCommand::AddServer(..)
        | IpvsCommand::EditServer(..)
        | IpvsCommand::AddReal(..)
        | IpvsCommand::EditReal(..)
        | IpvsCommand::DeleteReal(..)
        | IpvsCommand::DeleteServer(_) => Kind::Servers,
    }
}

fn set_line(command: &IpvsCommand, bound: &SetName, family: Family) -> Option<String> {
    let line = match command {
        IpvsCommand::CreateSet(name, kind) => creation(name, *kind, family),
        IpvsCommand::AddEntry(name, entry) => format!("add {name} {entry}"),
        IpvsCommand::Bind(entry) => format!("add {bound} {entry}"),
        IpvsCommand::RemoveEntry(name, entry) => format!("del {name} {entry}"),
        IpvsCommand::Unbind(entry) => format!("del {bound} {entry}"),
        IpvsCommand::DestroySet(name) => format!("destroy {name}"),
        _ => return None,
    };
    Some(line + "\n")
}

fn rules_text(command: &IpvsCommand, family: Family) -> Option<String> {
    match command {
        IpvsCommand::Rules(unit) => Some(unit.restore_text(family)),
        _ => None,
    }
}

fn server_line(command: &IpvsCommand) -> Option<String> {
    let line = match command {
        IpvsCommand::AddServer(key, server) => {
            format!("-A {} {}\n", KeyWords(key), ServerWords(server))
        }
        IpvsCommand::EditServer(key, server) => {
            format!("-E {} {}\n", KeyWords(key), ServerWords(server))
        }
        IpvsCommand::AddReal(key, address, real) => {
            format!("-a {} {}\n", KeyWords(key), RealWords(*address, real))
        }
        IpvsCommand::EditReal(key, address, real) => {
            format!("-e {} {}\n", KeyWords(key), RealWords(*address, real))
        }
        IpvsCommand::DeleteReal(key, address) => format!("-d {} -r {address}\n", KeyWords(key)),
        IpvsCommand::DeleteServer(key) => format!("-D {}\n", KeyWords(key)),
        _ => return None,
    };
    Some(line)
}

fn address_line(command: &IpvsCommand) -> Option<String> {
    match command {
        IpvsCommand::Bind(SetEntry::Address(address)) => Some(bind_line(*address)),
        IpvsCommand::Unbind(SetEntry::Address(address)) => {
            let bits = Family::of(*address).address_bits();
            Some(format!("address delete {address}/{bits} dev {DEVICE}\n"))
        }
        _ => None,
    }
}

/// `address replace 10.96.0.40/32 dev kube-ipvs0`
pub(super) fn bind_line(address: IpAddr) -> String {
    let bits = Family::of(address).address_bits();
    format!("address replace {address}/{bits} dev {DEVICE}\n")
}
