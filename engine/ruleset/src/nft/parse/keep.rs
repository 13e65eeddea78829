//! Statements of a dump that are not understood, kept as text.
//!
//! Source: nft(8), "STATEMENTS"; `src/xt.c` for what nft hides behind a `#`.

use super::cursor::Cursor;
use super::tokens::{Kind, Token};
use crate::Verbatim;
use crate::nft::Statement;
use crate::xt::INERT_TARGETS;

/// Statements that let the next one follow and change nothing that a rule can ask for, by their first words; one
/// value comes after these.
///
/// Deviation: what they change in a packet (its class of service, the sizes of its segments) is
/// not shown in its further way.
const INERT: [&[&str]; 13] = [
    &["counter", "name"],
    &["meta", "nftrace", "set"],
    &["meta", "priority", "set"],
    &["meta", "secmark", "set"],
    &["tcp", "option", "maxseg", "size", "set"],
    &["ct", "helper", "set"],
    &["ct", "timeout", "set"],
    &["ct", "event", "set"],
    &["ip", "dscp", "set"],
    &["ip", "ecn", "set"],
    &["ip6", "dscp", "set"],
    &["ip6", "ecn", "set"],
    &["flow", "add", "@"],
];

/// Words that begin something other than a test; a value is never one of them.
const ACTIONS: [&str; 28] = [
    "accept",
    "add",
    "comment",
    "continue",
    "counter",
    "delete",
    "dnat",
    "drop",
    "dup",
    "flow",
    "fwd",
    "goto",
    "jump",
    "limit",
    "log",
    "masquerade",
    "notrack",
    "queue",
    "quota",
    "redirect",
    "reject",
    "return",
    "set",
    "snat",
    "synproxy",
    "tproxy",
    "update",
    "xt",
];

/// Words of a test that make it something else.
const ASSIGNMENTS: [&str; 3] = ["set", "map", "vmap"];

/// Reads a statement that is not understood. What is a test ends where something else begins; what may be anything
/// ends with the rule.
pub(super) fn statement(cursor: &mut Cursor<'_>) -> Statement {
    let start = cursor.position();
    if is_inert(cursor) {
        return Statement::Inert(kept(cursor, start));
    }
    cursor.go_to(start);
    if cursor.take("xt").is_some()
        && let Some(statement) = extension(cursor, start)
    {
        return statement;
    }
    cursor.go_to(start);
    if is_test(cursor) {
        return Statement::UnknownMatch(kept(cursor, start));
    }
    cursor.go_to(start);
    skip(cursor, |_| false);
    Statement::Unknown(kept(cursor, start))
}

/// `xt match "socket"`, `xt target "TCPMSS"`: what nft can only name of a match or target of iptables.
fn extension(cursor: &mut Cursor<'_>, start: usize) -> Option<Statement> {
    let is_match = cursor.take("match").is_some();
    let is_target = cursor.take("target").is_some();
    let name = cursor.peek().text;
    if !takes_value(cursor) {
        return None;
    }
    let always_matches = ["comment", "nfacct"].contains(&name);
    let text = kept(cursor, start);
    match (is_match, is_target) {
        (true, false) if always_matches => Some(Statement::Inert(text)),
        (true, false) => Some(Statement::UnknownMatch(text)),
        (false, true) if INERT_TARGETS.contains(&name) && name != "SET" => {
            Some(Statement::Inert(text))
        }
        _ => None,
    }
}

fn kept(cursor: &Cursor<'_>, start: usize) -> Verbatim {
    let place = cursor.token(start).place();
    Verbatim::new(cursor.text(start), place)
}

/// Takes an inert statement, if it is one.
fn is_inert(cursor: &mut Cursor<'_>) -> bool {
    let start = cursor.position();
    if cursor.take("log").is_some() {
        return takes_log_options(cursor);
    }
    for words in INERT {
        if words.iter().all(|word| cursor.take(word).is_some()) {
            if cursor.take("rt").is_some() {
                return cursor.take("mtu").is_some();
            }
            return takes_value(cursor);
        }
        cursor.go_to(start);
    }
    false
}

fn takes_log_options(cursor: &mut Cursor<'_>) -> bool {
    loop {
        let token = cursor.peek();
        let takes_one = match token.text {
            _ if token.kind != Kind::Word => return true,
            "prefix" | "level" | "group" | "snaplen" | "queue-threshold" => true,
            "flags" => false,
            _ => return true,
        };
        cursor.next();
        if !takes_value(cursor) {
            return false;
        }
        // `flags tcp sequence,options`
        if !takes_one && ["sequence", "options"].contains(&cursor.peek().text) {
            cursor.next();
            while cursor.take(",").is_some() {
                cursor.next();
            }
        }
    }
}

fn takes_value(cursor: &mut Cursor<'_>) -> bool {
    let is_value = matches!(cursor.peek().kind, Kind::Word | Kind::Quoted);
    if is_value {
        cursor.next();
    }
    is_value
}

/// Takes a test, if it is one.
fn is_test(cursor: &mut Cursor<'_>) -> bool {
    let first = cursor.next();
    let may_be = first.kind == Kind::Word || first.is("(") || first.is("@");
    let tests_by_state = ["limit", "quota"].contains(&first.text);
    if !may_be || (ACTIONS.contains(&first.text) && !tests_by_state) {
        return false;
    }
    let mut assigns = false;
    skip(cursor, |token| {
        assigns |= token.kind == Kind::Word && ASSIGNMENTS.contains(&token.text);
        assigns
            || token.kind == Kind::Hidden
            || (token.kind == Kind::Word && ACTIONS.contains(&token.text))
    });
    !assigns
}

/// Goes on to the end of the rule, or to where `is_end` says so; what stands in braces belongs together.
fn skip(cursor: &mut Cursor<'_>, mut is_end: impl FnMut(Token<'_>) -> bool) {
    while !cursor.is_at_end() && !is_end(cursor.peek()) {
        match cursor.peek().is("{") {
            true => cursor.skip_block(),
            false => {
                cursor.next();
            }
        }
    }
}
