//! Rule text in its two spellings.
//!
//! `Restore` is what kube-proxy feeds `iptables-restore --noflush --counters`; `Save` is what `iptables-save`
//! prints. They differ in how some values are written, never in what they mean, so one printer makes both.
//!
//! No text from outside can change the shape of a line: names and comments come through checked types, and
//! every free text is quoted and stripped of control characters here once more.
//!
//! Source: `iptables/nft-shared.c` (order of the header), `libxtables/xtables.c` (`xtables_save_string`),
//! the `save` functions of `extensions/libxt_*.c`, iptables 1.8.9; PROXY-42, PROXY-46.

mod matches;
mod target;

use std::fmt::{self, Display, Formatter, Write as _};

use super::{
    AddressMatch, ChainName, InterfaceMatch, Policy, TableName, XtChain, XtCommand, XtRule,
    XtTable, XtTables, XtUnit,
};
use crate::Family;

/// The order of tables in a text: that of `iptables-save` in its nft variant (`enum nft_table_type`).
const TABLE_ORDER: [TableName; 5] = [
    TableName::Mangle,
    TableName::Security,
    TableName::Raw,
    TableName::Filter,
    TableName::Nat,
];

/// Input for `iptables-restore --noflush` that makes the tables' user-defined chains what they are here and
/// appends to the built-in ones.
///
/// A built-in chain is declared only when its policy is DROP. ACCEPT is every chain's first policy and is left
/// unsaid, so that restoring does not lift a DROP that somebody else set.
#[must_use]
pub fn restore_text(tables: &XtTables) -> String {
    tables_text(tables, Spelling::Restore)
}

/// The canonical form: what `iptables-save` prints once these tables are loaded, counters at zero.
///
/// Built-in chains come first in the kernel's order, then the others by name; rules are grouped by chain.
#[must_use]
pub fn save_text(tables: &XtTables) -> String {
    tables_text(tables, Spelling::Save)
}

impl XtUnit {
    /// Input for `iptables-restore --noflush` that does this, all at once.
    #[must_use]
    pub fn restore_text(&self, family: Family) -> String {
        let mut text = format!("*{}\n", self.table);
        for command in &self.commands {
            let written = command_line(&mut text, command, family);
            written.expect("a String takes everything");
        }
        text + "COMMIT\n"
    }
}

fn command_line(text: &mut String, command: &XtCommand, family: Family) -> fmt::Result {
    let (word, chain, rule) = match command {
        XtCommand::Empty(chain) => return writeln!(text, ":{chain} - [0:0]"),
        XtCommand::SetPolicy(chain, policy) => {
            let policy = match policy {
                Policy::Accept => "ACCEPT",
                Policy::Drop => "DROP",
            };
            return writeln!(text, ":{chain} {policy} [0:0]");
        }
        XtCommand::Delete(chain) => return writeln!(text, "-X {chain}"),
        XtCommand::Append(chain, rule) => ("-A", chain, rule),
        XtCommand::Prepend(chain, rule) => ("-I", chain, rule),
        XtCommand::Remove(chain, rule) => ("-D", chain, rule),
    };
    let line = RuleLine {
        rule,
        chain: *chain,
        family,
        spelling: Spelling::Restore,
    };
    writeln!(text, "{word} {chain}{}", line.body())
}

impl XtRule {
    /// The rule as one line of `iptables-save`, without a line break: `-A CHAIN …`.
    ///
    /// The family is needed because the words of `--reject-with` depend on it.
    pub fn line(&self, chain: ChainName, family: Family) -> impl Display + '_ {
        RuleLine {
            rule: self,
            chain,
            family,
            spelling: Spelling::Save,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Restore,
    Save,
}

fn tables_text(tables: &XtTables, spelling: Spelling) -> String {
    let mut text = String::new();
    for name in TABLE_ORDER {
        if let Some(table) = tables.tables.get(&name) {
            table_text(&mut text, name, table, tables.family, spelling)
                .expect("a String takes everything");
        }
    }
    text
}

fn table_text(
    text: &mut String,
    name: TableName,
    table: &XtTable,
    family: Family,
    spelling: Spelling,
) -> fmt::Result {
    writeln!(text, "*{name}")?;
    for (chain_name, chain) in chains_in_order(name, table) {
        let is_built_in = name.built_in_chains().contains(&chain_name.as_str());
        let policy = match (is_built_in, chain.policy, spelling) {
            (false, _, _) => "-",
            (true, Some(Policy::Drop), _) => "DROP",
            (true, _, Spelling::Save) => "ACCEPT",
            (true, _, Spelling::Restore) => continue,
        };
        writeln!(text, ":{chain_name} {policy} [0:0]")?;
    }
    for (chain_name, chain) in chains_in_order(name, table) {
        for rule in &chain.rules {
            let line = RuleLine {
                rule,
                chain: chain_name,
                family,
                spelling,
            };
            writeln!(text, "{line}")?;
        }
    }
    text.push_str("COMMIT\n");
    Ok(())
}

fn chains_in_order(
    name: TableName,
    table: &XtTable,
) -> impl Iterator<Item = (ChainName, &XtChain)> {
    let built_in = name.built_in_chains();
    let first = built_in.iter().filter_map(|name| {
        let name = ChainName::literal(name);
        table.chains.get(&name).map(|chain| (name, &**chain))
    });
    let rest = table
        .chains
        .iter()
        .filter(move |(name, _)| !built_in.contains(&name.as_str()))
        .map(|(name, chain)| (*name, &**chain));
    first.chain(rest)
}

struct RuleLine<'a> {
    rule: &'a XtRule,
    chain: ChainName,
    family: Family,
    spelling: Spelling,
}

impl Display for RuleLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "-A {}{}", self.chain, self.body())
    }
}

impl RuleLine<'_> {
    /// All of it but the chain.
    fn body(&self) -> impl Display {
        fmt::from_fn(|f| self.write_body(f))
    }

    fn write_body(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.address(f, "-s", self.rule.source)?;
        self.address(f, "-d", self.rule.destination)?;
        interface(f, "-i", self.rule.in_interface.as_ref())?;
        interface(f, "-o", self.rule.out_interface.as_ref())?;
        if let Some((negated, protocol)) = self.rule.protocol {
            write!(f, "{} -p {protocol}", bang(negated))?;
        }
        for one in &self.rule.matches {
            matches::extension(f, one, self.family, self.spelling)?;
        }
        target::target(f, &self.rule.target, self.family, self.spelling)
    }

    /// kube-proxy writes a host without its prefix length, `iptables-save` with it.
    fn address(
        &self,
        f: &mut Formatter<'_>,
        option: &str,
        address: Option<AddressMatch>,
    ) -> fmt::Result {
        let Some(AddressMatch { negated, net }) = address else {
            return Ok(());
        };
        write!(f, "{} {option} ", bang(negated))?;
        if self.spelling == Spelling::Restore && net.prefix_len() == net.max_prefix_len() {
            write!(f, "{}", net.addr())
        } else {
            write!(f, "{net}")
        }
    }
}

const fn bang(negated: bool) -> &'static str {
    if negated { " !" } else { "" }
}

fn interface(
    f: &mut Formatter<'_>,
    option: &str,
    interface: Option<&InterfaceMatch>,
) -> fmt::Result {
    let Some(InterfaceMatch { negated, name }) = interface else {
        return Ok(());
    };
    write!(f, "{} {option} ", bang(*negated))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.+@:".contains(c);
    if name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        f.write_str(name)
    } else {
        quoted(f, name)
    }
}

/// Quotes when `iptables-save` does (`xtables_save_string`).
///
/// Deviation: a text that starts with `-` is quoted too, because older versions of `iptables-restore` look for
/// an unquoted `-t` even where a comment is due.
fn saved_string(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || text.starts_with('-') || !text.chars().all(plain) {
        quoted(f, text)
    } else {
        f.write_str(text)
    }
}

/// Between double quotes, so that `add_param_to_argv` reads the text back. A line break cannot be written at
/// all: control characters become spaces.
fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' | '\'' => write!(f, "\\{c}")?,
            c if c.is_control() => f.write_char(' ')?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;
    use crate::Protocol;
    use crate::xt::{Comment, Probability, RejectWith, XtMatch, XtTarget};

    fn check_saved(rule: &XtRule, family: Family, expected: &str) {
        let chain = ChainName::literal("C");
        assert_eq!(
            rule.line(chain, family).to_string(),
            format!("-A C{expected}")
        );
    }

    fn check_restored(rule: &XtRule, expected: &str) {
        let line = RuleLine {
            rule,
            chain: ChainName::literal("C"),
            family: Family::V4,
            spelling: Spelling::Restore,
        };
        assert_eq!(line.to_string(), format!("-A C{expected}"));
    }

    fn with(one: XtMatch) -> XtRule {
        XtRule::new(XtTarget::None).with_match(one)
    }

    #[test]
    fn probabilities_as_in_proxy_42() {
        for (n, restored, saved) in [
            (1, "1.0000000000", "1.00000000000"),
            (2, "0.5000000000", "0.50000000000"),
            (3, "0.3333333333", "0.33333333349"),
            (4, "0.2500000000", "0.25000000000"),
            (7, "0.1428571429", "0.14285714272"),
        ] {
            let rule = with(XtMatch::Random(Probability::one_in(n)));
            let prefix = " -m statistic --mode random --probability ";
            check_restored(&rule, &format!("{prefix}{restored}"));
            check_saved(&rule, Family::V4, &format!("{prefix}{saved}"));
        }
    }

    #[test]
    fn comments_are_quoted_as_the_tool_does() {
        for (text, expected) in [
            ("plain-word_1", "plain-word_1"),
            ("two words", "\"two words\""),
            ("", "\"\""),
            ("-t", "\"-t\""),
            ("say \"it's\\\"", "\"say \\\"it\\'s\\\\\\\"\""),
            ("x\n-A INPUT -j DROP", "\"x -A INPUT -j DROP\""),
        ] {
            let rule = with(XtMatch::Comment(Comment::new(text)));
            check_saved(
                &rule,
                Family::V4,
                &format!(" -m comment --comment {expected}"),
            );
        }
    }

    #[test]
    fn unchecked_names_cannot_break_out_of_their_line() {
        let nasty = "a\" -j DROP\n-A x";
        let mut rule = with(XtMatch::NfAcct(nasty.into()));
        rule.in_interface = Some(InterfaceMatch {
            negated: false,
            name: nasty.into(),
        });
        check_saved(
            &rule,
            Family::V4,
            " -i \"a\\\" -j DROP -A x\" -m nfacct --nfacct-name  \"a\\\" -j DROP -A x\"",
        );
    }

    #[test]
    fn marks_and_hosts_in_both_spellings() {
        let host: IpNet = "10.96.0.40/32".parse().unwrap();
        let or = XtRule::new(XtTarget::SetXmark {
            value: 0x4000,
            mask: 0x4000,
        });
        let or = or
            .with_destination(host, false)
            .with_protocol(Protocol::TCP);
        check_saved(
            &or,
            Family::V4,
            " -d 10.96.0.40/32 -p tcp -j MARK --set-xmark 0x4000/0x4000",
        );
        check_restored(&or, " -d 10.96.0.40 -p tcp -j MARK --or-mark 0x4000");
        let xor = XtRule::new(XtTarget::SetXmark {
            value: 0x4000,
            mask: 0,
        });
        check_saved(&xor, Family::V4, " -j MARK --set-xmark 0x4000/0x0");
        check_restored(&xor, " -j MARK --xor-mark 0x4000");
    }

    #[test]
    fn reject_words_follow_the_family() {
        let rule = XtRule::new(XtTarget::Reject(RejectWith::PortUnreachable));
        check_saved(
            &rule,
            Family::V4,
            " -j REJECT --reject-with icmp-port-unreachable",
        );
        check_saved(
            &rule,
            Family::V6,
            " -j REJECT --reject-with icmp6-port-unreachable",
        );
    }
}
