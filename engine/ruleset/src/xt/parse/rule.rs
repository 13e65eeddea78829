//! One rule: its header, and the options of matches and targets handed on.

use super::matches::Drafts;
use super::target::TargetDraft;
use super::tokens::{Cursor, Token};
use super::{ParseError, ParseErrorKind, values};
use crate::verbatim::{Reading, Verbatim};
use crate::xt::words::INERT_TARGETS;
use crate::xt::{AddressMatch, ChainName, InterfaceMatch, TableName, XtRule, XtTarget};
use crate::{Family, Protocol, TextPlace};

/// An option as it stands in the text.
#[derive(Clone, Copy)]
pub(super) struct Opt<'a> {
    pub(super) token: &'a Token,
    pub(super) negated: bool,
}

impl Opt<'_> {
    pub(super) fn name(&self) -> &str {
        &self.token.text
    }

    pub(super) fn unknown(&self) -> ParseError {
        ParseErrorKind::UnknownOption {
            option: self.name().to_owned(),
        }
        .at(self.token.column)
    }

    /// Refuses a `!` before an option that has no opposite.
    pub(super) fn plain(&self) -> Result<(), ParseError> {
        if self.negated {
            Err(ParseErrorKind::MisplacedNegation.at(self.token.column))
        } else {
            Ok(())
        }
    }

    /// Stores a value that may be given once only; the first one stays.
    pub(super) fn set<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), ParseError> {
        if slot.is_some() {
            return Err(ParseErrorKind::DuplicateOption {
                option: self.name().to_owned(),
            }
            .at(self.token.column));
        }
        *slot = Some(value);
        Ok(())
    }

    /// The option's value, and whether it is negated: `! --opt value`, or the older `--opt ! value`.
    pub(super) fn negatable_value<'c>(
        &self,
        cursor: &mut Cursor<'c>,
    ) -> Result<(bool, &'c Token), ParseError> {
        let inner = cursor.take_bang();
        if let (Some(bang), true) = (inner, self.negated) {
            return Err(ParseErrorKind::MisplacedNegation.at(bang.column));
        }
        let value = cursor.value(self.name())?;
        Ok((self.negated || inner.is_some(), value))
    }

    /// The option's value, which cannot be negated.
    pub(super) fn plain_value<'c>(&self, cursor: &mut Cursor<'c>) -> Result<&'c Token, ParseError> {
        self.plain()?;
        cursor.value(self.name())
    }
}

/// Where a rule stands, and how it is read.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) table: TableName,
    pub(super) family: Family,
    pub(super) line: usize,
    pub(super) reading: Reading,
    pub(super) is_declared: &'a dyn Fn(ChainName) -> bool,
}

/// Reads what follows `-A CHAIN`: one rule, or one for each pair of addresses where options list several, as the
/// tool makes of them.
///
/// In a dump, what is not understood is kept as text: from the option that loads it, or from itself when nothing
/// does or it can only narrow what that matches, up to the next option that is the rule's own.
pub(super) fn parse(cursor: &mut Cursor<'_>, site: Site<'_>) -> Result<Vec<XtRule>, ParseError> {
    let mut draft = RuleDraft {
        rule: XtRule::new(XtTarget::None),
        sources: None,
        destinations: None,
        drafts: Drafts::new(site.family, site.reading),
        target: None,
        last: None,
    };
    while cursor.peek().is_some() {
        let start = cursor.position();
        if let Err(error) = draft.option(cursor, site) {
            cursor.go_to(start);
            let is_no_rule = lacks_value(cursor, start) || is_of_other_family(cursor, start, site);
            if site.reading == Reading::Strict || is_no_rule {
                return Err(error);
            }
            draft.keep(cursor, site);
        }
    }
    draft.finish(cursor, site)
}

/// A rule while its options are still coming.
struct RuleDraft {
    rule: XtRule,
    sources: Option<Vec<AddressMatch>>,
    destinations: Option<Vec<AddressMatch>>,
    drafts: Drafts,
    target: Option<(usize, Target)>,
    /// What was loaded last, and where that began; `None` after an option of the header.
    last: Option<(usize, Loaded)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Loaded {
    Match,
    Target,
}

enum Target {
    Draft(TargetDraft),
    Kept(XtTarget),
}

impl RuleDraft {
    fn option(&mut self, cursor: &mut Cursor<'_>, site: Site<'_>) -> Result<(), ParseError> {
        let start = cursor.position();
        let bang = cursor.take_bang();
        let Some(token) = cursor.next() else {
            let column = bang.map_or(1, |bang| bang.column);
            return Err(ParseErrorKind::MisplacedNegation.at(column));
        };
        let option = Opt {
            token,
            negated: bang.is_some(),
        };
        if token.quoted {
            return Err(option.unknown());
        }
        if self.header(option, cursor, site.family)? {
            self.last = None;
            return Ok(());
        }
        let matches = self.drafts.len();
        if self.drafts.option(option, cursor, self.rule.protocol)? {
            if self.drafts.len() > matches {
                self.drafts.begun_at(start);
                self.last = Some((start, Loaded::Match));
            }
            return Ok(());
        }
        match token.text.as_str() {
            "-j" | "--jump" | "-g" | "--goto" => {
                let draft = TargetDraft::new(option, cursor, site)?;
                option.set(&mut self.target, (start, Target::Draft(draft)))?;
                self.last = Some((start, Loaded::Target));
                Ok(())
            }
            _ => match &mut self.target {
                Some((_, Target::Draft(draft))) => draft.option(option, cursor, site.family),
                Some((_, Target::Kept(_))) | None => Err(option.unknown()),
            },
        }
    }

    /// Keeps what begins here as text, together with what it belongs to.
    fn keep(&mut self, cursor: &mut Cursor<'_>, site: Site<'_>) {
        let at = cursor.position();
        let end = segment_end(cursor, at);
        cursor.go_to(end);
        let starts_anew = starts_segment(cursor, at);
        let loads_target = loaded(cursor, at).is_some_and(|option| is_target(&option.text));
        match self.last.filter(|_| !starts_anew) {
            Some((_, Loaded::Match)) if self.drafts.ends_with_conjunction() => {
                self.drafts.push_kept(at, kept(cursor, at, end, site));
                self.last = Some((at, Loaded::Match));
            }
            Some((start, Loaded::Match)) => {
                self.drafts.pop();
                self.drafts.push_kept(start, kept(cursor, start, end, site));
            }
            Some((start, Loaded::Target)) => self.keep_target(cursor, start, (at, end), site),
            None if loads_target => {
                let start = self.target.as_ref().map_or(at, |(start, _)| *start);
                self.keep_target(cursor, start, (at, end), site);
                self.last = Some((start, Loaded::Target));
            }
            None => {
                self.drafts.push_kept(at, kept(cursor, at, end, site));
                self.last = Some((at, Loaded::Match));
            }
        }
    }

    /// Keeps the target that begins at `start`, of which the words of `more` are part.
    fn keep_target(
        &mut self,
        cursor: &Cursor<'_>,
        start: usize,
        more: (usize, usize),
        site: Site<'_>,
    ) {
        let first_end = segment_end(cursor, start);
        let first = kept(cursor, start, first_end, site);
        let text = match self.target.take() {
            Some((_, Target::Kept(XtTarget::Unknown(text) | XtTarget::Inert(text)))) => {
                text.followed_by(&kept(cursor, more.0, more.1, site))
            }
            _ if more.0 >= first_end => first.followed_by(&kept(cursor, more.0, more.1, site)),
            _ => first,
        };
        let target = match more.0 < first_end && is_inert(cursor.words(start..first_end)) {
            true => XtTarget::Inert(text),
            false => XtTarget::Unknown(text),
        };
        self.target = Some((start, Target::Kept(target)));
    }

    /// Reads an option of the header, if it is one.
    fn header(
        &mut self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        family: Family,
    ) -> Result<bool, ParseError> {
        let rule = &mut self.rule;
        match option.name() {
            "-s" | "--source" | "--src" => {
                let addresses = addresses(option, cursor, family)?;
                option.set(&mut self.sources, addresses)?;
            }
            "-d" | "--destination" | "--dst" => {
                let addresses = addresses(option, cursor, family)?;
                option.set(&mut self.destinations, addresses)?;
            }
            "-i" | "--in-interface" => {
                let interface = interface(option, cursor)?;
                option.set(&mut rule.in_interface, interface)?;
            }
            "-o" | "--out-interface" => {
                let interface = interface(option, cursor)?;
                option.set(&mut rule.out_interface, interface)?;
            }
            "-p" | "--protocol" | "--proto" => protocol(rule, option, cursor)?,
            "-c" | "--set-counters" => {
                for _ in 0..2 {
                    let count = option.plain_value(cursor)?;
                    count
                        .text
                        .parse::<u64>()
                        .map_err(|_| count.bad_value("a counter"))?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self, cursor: &Cursor<'_>, site: Site<'_>) -> Result<Vec<XtRule>, ParseError> {
        let mut rule = self.rule;
        let is_dump = site.reading != Reading::Strict;
        rule.matches = self.drafts.finish(|start, error| {
            let end = segment_end(cursor, start);
            match is_dump {
                true => Ok(kept(cursor, start, end, site)),
                false => Err(error),
            }
        })?;
        rule.target = match self.target {
            None => XtTarget::None,
            Some((_, Target::Kept(target))) => target,
            Some((start, Target::Draft(draft))) => match draft.finish() {
                Err(_) if is_dump => {
                    let end = segment_end(cursor, start);
                    let text = kept(cursor, start, end, site);
                    match is_inert(cursor.words(start..end)) {
                        true => XtTarget::Inert(text),
                        false => XtTarget::Unknown(text),
                    }
                }
                target => target?,
            },
        };
        Ok(multiplied(&rule, self.sources, self.destinations))
    }
}

/// The rule for each pair of a source and a destination (`iptables-restore` does the same).
fn multiplied(
    rule: &XtRule,
    sources: Option<Vec<AddressMatch>>,
    destinations: Option<Vec<AddressMatch>>,
) -> Vec<XtRule> {
    let each = |addresses: Option<Vec<AddressMatch>>| -> Vec<Option<AddressMatch>> {
        match addresses {
            None => vec![None],
            Some(addresses) => addresses.into_iter().map(Some).collect(),
        }
    };
    let destinations = each(destinations);
    let mut rules = Vec::new();
    for source in each(sources) {
        for destination in &destinations {
            rules.push(XtRule {
                source,
                destination: *destination,
                ..rule.clone()
            });
        }
    }
    rules
}

/// The option at a position, past its `!`.
fn loaded<'c>(cursor: &Cursor<'c>, at: usize) -> Option<&'c Token> {
    let mut words = cursor.words(at..cursor.len()).iter();
    words.find(|word| word.text != "!" || word.quoted)
}

/// Whether an option of the header, or one that loads a match or a target, stands here.
fn starts_segment(cursor: &Cursor<'_>, at: usize) -> bool {
    loaded(cursor, at).is_some_and(|word| {
        let name = word.text.as_str();
        let is_own = ADDRESSES.contains(&name) || HEADER.contains(&name) || is_target(name);
        !word.quoted && (is_own || matches!(word.text.as_str(), "-m" | "--match"))
    })
}

fn is_target(option: &str) -> bool {
    matches!(option, "-j" | "--jump" | "-g" | "--goto")
}

/// Whether an option of the rule's own stands here without the value that it needs: then this is no rule.
fn lacks_value(cursor: &Cursor<'_>, start: usize) -> bool {
    let words = cursor.words(start..segment_end(cursor, start));
    let mut words = words.iter().skip_while(|word| word.text == "!");
    let takes_none =
        |word: &&Token| matches!(word.text.as_str(), "-f" | "--fragment" | "-4" | "-6");
    let needs_one = words.next().is_some_and(|word| !takes_none(&word));
    starts_segment(cursor, start) && needs_one && words.all(|word| word.text == "!")
}

/// Whether an address of the other family stands here: then all of the text is about that one.
fn is_of_other_family(cursor: &Cursor<'_>, start: usize, site: Site<'_>) -> bool {
    let other = match site.family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    };
    let words = cursor.words(start..segment_end(cursor, start));
    let is_header =
        loaded(cursor, start).is_some_and(|word| ADDRESSES.contains(&word.text.as_str()));
    let is_other = |word: &Token| values::net(&word.text, word, other).is_ok();
    is_header && words.iter().any(is_other)
}

/// Where what begins here ends: before the next option that is not of a match or target.
fn segment_end(cursor: &Cursor<'_>, start: usize) -> usize {
    let len = cursor.len();
    let first = cursor.words(start..len).iter();
    let bangs = first.take_while(|word| word.text == "!").count();
    let later = (start + bangs + 1).min(len)..len;
    let mut later = later.filter(|at| starts_segment(cursor, *at));
    later.next().unwrap_or(len)
}

fn kept(cursor: &Cursor<'_>, start: usize, end: usize, site: Site<'_>) -> Verbatim {
    let words = cursor.words(start..end);
    let named = words.iter().find(|word| {
        !matches!(
            word.text.as_str(),
            "!" | "-m" | "--match" | "-j" | "--jump" | "-g" | "--goto"
        )
    });
    let column = named.or(words.first()).map_or(1, |word| word.column);
    let line = site.line;
    Verbatim::new(cursor.text(start..end), TextPlace { line, column })
}

/// Whether these words load a target that decides nothing.
fn is_inert(words: &[Token]) -> bool {
    let mut names = words.iter().map(|word| word.text.as_str());
    let maps = names.clone().any(|word| word.starts_with("--map-"));
    let name = names.find(|word| !is_target(word));
    name.is_some_and(|name| INERT_TARGETS.contains(&name)) && !maps
}

/// Options of a rule's header that take addresses, in every spelling.
const ADDRESSES: [&str; 6] = ["-s", "--source", "--src", "-d", "--destination", "--dst"];

/// The others; the last two are not modelled.
const HEADER: [&str; 13] = [
    "-i",
    "--in-interface",
    "-o",
    "--out-interface",
    "-p",
    "--protocol",
    "--proto",
    "-c",
    "--set-counters",
    "-4",
    "-6",
    "-f",
    "--fragment",
];

/// `10.0.0.0/8,192.168.0.0/16`: any of these.
fn addresses(
    option: Opt<'_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Result<Vec<AddressMatch>, ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    let one = |text| {
        let net = values::net(text, value, family)?;
        Ok(AddressMatch { negated, net })
    };
    let addresses: Vec<AddressMatch> = value.text.split(',').map(one).collect::<Result<_, _>>()?;
    if negated && addresses.len() > 1 {
        return Err(value.bad_value("one address, as `!` stands before it"));
    }
    Ok(addresses)
}

fn interface(option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<InterfaceMatch, ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    Ok(InterfaceMatch {
        negated,
        name: values::interface(value)?,
    })
}

/// `-p all` and `-p 0` match everything, so they leave nothing behind; their opposites are refused, as the
/// tool does.
fn protocol(rule: &mut XtRule, option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    let is_all = value.text.eq_ignore_ascii_case("all");
    match Protocol::parse(&value.text) {
        Some(Protocol(0)) if !negated => Ok(()),
        None if is_all && !negated => Ok(()),
        Some(protocol) if protocol != Protocol(0) => {
            option.set(&mut rule.protocol, (negated, protocol))
        }
        _ => Err(value.bad_value("a protocol that rules can be about")),
    }
}
