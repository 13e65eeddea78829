//! The files that a dump is made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::Report;
use netfilter::{ChainPlace, NodeTables, RulePlace, Ruleset};
use ruleset::{Family, TextPlace, nft, xt};

use super::answer::Unknown;
use crate::args::DumpArgs;
use crate::input;

/// What was read, and from where.
pub(super) struct Files {
    xt: Option<(PathBuf, xt::XtDump)>,
    nft: Option<(PathBuf, nft::NftDump)>,
    /// What a reader should know, each in a sentence.
    pub(super) notes: Vec<String>,
}

impl Files {
    /// Reads the files, or says why nothing can be told.
    pub(super) fn read(args: &DumpArgs, family: Family) -> Result<Result<Self, Unknown>, Report> {
        let mut files = Self {
            xt: None,
            nft: None,
            notes: Vec::new(),
        };
        if let Some(file) = &args.iptables_save {
            match xt::parse_dump(&text(file)?, family) {
                Ok(dump) => files.take_xt(file, dump),
                Err(why) => {
                    let (line, column) = (why.line, why.column);
                    return Ok(Err(unreadable(file, TextPlace { line, column }, &why.kind)));
                }
            }
        }
        if let Some(file) = &args.nft {
            match nft::parse_dump(&text(file)?) {
                Ok(dump) => files.take_nft(file, dump),
                Err(why) => {
                    let (line, column) = (why.line, why.column);
                    return Ok(Err(unreadable(file, TextPlace { line, column }, &why.kind)));
                }
            }
        }
        Ok(Ok(files))
    }

    /// Notes what a reader of a file should know.
    fn note(&mut self, file: &Path, warnings: &[String], is_empty: bool) {
        let file = file.display();
        self.notes
            .extend(warnings.iter().map(|warning| format!("{file}: {warning}")));
        if is_empty {
            self.notes.push(format!(
                "{file}: no tables are in it; dump them as root if the node has some"
            ));
        }
    }

    fn take_xt(&mut self, file: &Path, dump: xt::XtDump) {
        self.note(file, &dump.warnings, dump.tables.tables.is_empty());
        self.xt = Some((file.to_owned(), dump));
    }

    /// The tables of `iptables-nft` stand in both files: `iptables-save` is the one that prints them faithfully.
    fn take_nft(&mut self, file: &Path, mut dump: nft::NftDump) {
        self.note(file, &dump.warnings, dump.tables.tables.is_empty());
        let theirs = dump.iptables_tables();
        let names: Vec<String> = theirs.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        match &self.xt {
            _ if theirs.is_empty() => {}
            Some((save, _)) => {
                theirs.iter().for_each(|key| dump.remove(key));
                self.notes.push(format!(
                    "{}: left out what is iptables' ({names}): {} has it",
                    file.display(),
                    save.display()
                ));
            }
            None => {
                theirs.iter().for_each(|key| dump.distrust(key));
                self.notes.push(format!(
                    "{}: nft does not list iptables' tables faithfully ({names}); give what iptables-save prints \
                     with --iptables-save, too",
                    file.display()
                ));
            }
        }
        self.nft = Some((file.to_owned(), dump));
    }

    /// The node's tables, or why what they do cannot be told.
    pub(super) fn tables(&self) -> Result<NodeTables, Unknown> {
        let xt = self.xt.iter().map(|(_, dump)| dump.tables.clone());
        let nft = self.nft.iter().map(|(_, dump)| dump.tables.clone());
        let mut owners: Vec<Ruleset> = xt.map(|tables| Arc::new(tables).into()).collect();
        owners.extend(nft.map(|tables| Ruleset::from(Arc::new(tables))));
        NodeTables::of_dump(owners).map_err(|why| Unknown {
            at: why.place().and_then(|place| self.place(&place)),
            reason: why.to_string(),
            help: None,
        })
    }

    /// Where a rule stands.
    pub(super) fn place(&self, rule: &RulePlace) -> Option<(String, TextPlace)> {
        let (file, place) = match &rule.chain {
            ChainPlace::Xt { table, chain } => {
                let (file, dump) = self.xt.as_ref()?;
                (file, dump.place(&(*table, *chain), rule.index)?)
            }
            ChainPlace::Nft { table, chain } => {
                let (file, dump) = self.nft.as_ref()?;
                let chain = (table.clone(), chain.clone());
                (file, dump.place(&chain, rule.index)?)
            }
        };
        Some((file.display().to_string(), place))
    }
}

/// A dump may hold names and comments in any encoding: what is not UTF-8 is no reason to refuse it.
fn text(file: &Path) -> Result<String, Report> {
    match fs::read(file) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(why) => Err(input::error(
            format!("cannot read {}: {why}", file.display()),
            None,
        )),
    }
}

fn unreadable(file: &Path, place: TextPlace, why: &impl ToString) -> Unknown {
    Unknown {
        at: Some((file.display().to_string(), place)),
        reason: why.to_string(),
        help: None,
    }
}
