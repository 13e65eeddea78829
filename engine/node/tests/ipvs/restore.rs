//! What `iptables-restore --noflush` takes, line by line.

use ruleset::Family;
use ruleset::xt::{ChainName, Policy, TableName, XtCommand, XtRule, XtUnit, parse};

/// Reads the tables of a restore.
pub(crate) fn units(text: &str, family: Family) -> Vec<XtUnit> {
    let mut units: Vec<XtUnit> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            units.push(XtUnit {
                table: table(name),
                commands: Vec::new(),
            });
        } else if line != "COMMIT" {
            let unit = units.last_mut().expect("lines are of a table");
            let command = command(line, unit.table, family);
            unit.commands.push(command);
        }
    }
    units
}

fn table(name: &str) -> TableName {
    let all = [TableName::Mangle, TableName::Nat, TableName::Filter];
    let mut all = all.into_iter();
    let found = all.find(|table| table.as_str() == name);
    found.expect("a table that proxies write to")
}

fn command(line: &str, table: TableName, family: Family) -> XtCommand {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    match words.as_slice() {
        [declared, policy, ..] if declared.starts_with(':') => {
            let name = chain(&declared[1..]);
            match *policy {
                "-" => XtCommand::Empty(name),
                "ACCEPT" => XtCommand::SetPolicy(name, Policy::Accept),
                _ => XtCommand::SetPolicy(name, Policy::Drop),
            }
        }
        ["-X", name] => XtCommand::Delete(chain(name)),
        ["-A", name, rest] => XtCommand::Append(chain(name), rule(name, rest, table, family)),
        ["-I", name, rest] => XtCommand::Prepend(chain(name), rule(name, rest, table, family)),
        ["-D", name, rest] => XtCommand::Remove(chain(name), rule(name, rest, table, family)),
        _ => panic!("no line of iptables-restore: {line}"),
    }
}

fn chain(name: &str) -> ChainName {
    ChainName::new(name).expect("a chain's name")
}

/// Chains that it leads to may be anywhere.
fn rule(name: &str, rest: &str, table: TableName, family: Family) -> XtRule {
    let target = rest.rsplit(' ').next().expect("a rule has words");
    let is_chain = target.starts_with("KUBE-") || target.starts_with("CNI");
    let declared = if is_chain { target } else { "NONE" };
    let text = format!(
        "*{}\n:{declared} - [0:0]\n{}-A {name} {rest}\nCOMMIT\n",
        table.as_str(),
        match table.built_in_chains().contains(&name) || name == declared {
            true => String::new(),
            false => format!(":{name} - [0:0]\n"),
        }
    );
    let tables = parse(&text, family).expect(&text);
    let chain = tables.chain(table, chain(name)).expect("it is declared");
    chain.rules[0].clone()
}
