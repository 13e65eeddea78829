//! What becomes of a packet, as people and programs read it.

use std::fmt::{self, Write as _};
use std::rc::Rc;

use netfilter::{Doubt, Question, Ratio, Verdict};
use ruleset::TextPlace;
use serde_json::{Value, json};

use super::files::Files;
use super::packet::Asked;

/// One thing that may become of the packet.
pub(super) struct Branch {
    pub(super) share: Ratio,
    pub(super) fate: Result<Fate, Unknown>,
}

/// What becomes of it, and the rules that it meets.
pub(super) struct Fate {
    pub(super) outcome: String,
    pub(super) rules: Vec<Rc<str>>,
}

/// Why what becomes of it cannot be told.
pub(super) struct Unknown {
    /// The file and the place in it.
    pub(super) at: Option<(String, TextPlace)>,
    pub(super) reason: String,
    /// What would help.
    pub(super) help: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown: ")?;
        if let Some((file, place)) = &self.at {
            write!(f, "{file}: {place}: ")?;
        }
        f.write_str(&self.reason)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl Unknown {
    /// A doubt about a rule of these files.
    pub(super) fn of(doubt: &Doubt, files: &Files) -> Self {
        let at = files.place(&doubt.place).map(|(file, start)| {
            let exact = match &doubt.question {
                Question::Text(text) => text.place(),
                Question::Unresolved(_) | Question::Interface { .. } => start,
            };
            (file, exact)
        });
        let help = match &doubt.question {
            Question::Interface { name, .. } => {
                let name = name.as_ref().map_or("NAME", |name| name.as_str());
                Some(format!(
                    "say which addresses are behind it with --link {name}=CIDR"
                ))
            }
            Question::Text(_) | Question::Unresolved(_) => None,
        };
        Self {
            at,
            reason: format!("{}: {}", doubt.place, doubt.question),
            help,
        }
    }

    /// The same for all of the packet's branches.
    pub(super) fn alone(self) -> Vec<Branch> {
        vec![Branch {
            share: Ratio::ONE,
            fate: Err(self),
        }]
    }
}

/// What a verdict means, without "unknown".
pub(super) fn describe(verdict: &Verdict, asked: &Asked) -> String {
    let (packet, way) = match verdict {
        Verdict::Deliver(packet) => (packet, "handed to a process of the node".to_owned()),
        Verdict::Forward { packet, interface } => (packet, format!("sent out of {interface}")),
        Verdict::Drop(reason) => return format!("dropped: {reason}"),
        Verdict::Reject { reason, .. } => return format!("refused: {reason}"),
        Verdict::Unknown(doubt) => return doubt.question.to_string(),
    };
    let Some(tuple) = packet.tuple() else {
        return way;
    };
    let mut text = way;
    if tuple.destination_socket() != asked.destination {
        let _ = write!(text, ", to {}", tuple.destination_socket());
    }
    if tuple.source_socket() != asked.source {
        let _ = write!(text, ", as from {}", tuple.source_socket().ip());
    }
    if tuple.destination_socket() == asked.destination && tuple.source_socket() == asked.source {
        text.push_str(", unchanged");
    }
    text
}

pub(super) fn human(asked: &Asked, branches: &[Branch]) -> String {
    let mut text = format!(
        "{} {} -> {}\n",
        asked.protocol, asked.source, asked.destination
    );
    for branch in branches {
        let share = percent(branch.share);
        match &branch.fate {
            Ok(fate) => {
                let _ = writeln!(text, "\n{share:.1} %  {}", fate.outcome);
                for rule in &fate.rules {
                    let _ = writeln!(text, "  {rule}");
                }
            }
            Err(unknown) => {
                let _ = writeln!(text, "\n{share:.1} %  {unknown}");
            }
        }
    }
    text
}

/// Every outcome has `p`, `outcome` and `rules`; an unknown one has `unknown` beside, whose places may be null.
pub(super) fn json_text(asked: &Asked, branches: &[Branch], notes: &[String]) -> String {
    let branches = branches.iter().map(|branch| {
        let share = branch.share;
        let p = format!("{}/{}", share.numerator(), share.denominator());
        match &branch.fate {
            Ok(fate) => {
                let rules: Vec<&str> = fate.rules.iter().map(AsRef::as_ref).collect();
                json!({"p": p, "outcome": fate.outcome, "rules": rules})
            }
            Err(unknown) => {
                let at = unknown.at.as_ref();
                json!({"p": p, "outcome": "unknown", "rules": [], "unknown": {
                    "reason": unknown.reason,
                    "help": unknown.help,
                    "file": at.map(|(file, _)| file),
                    "line": at.map(|(_, place)| place.line),
                    "column": at.map(|(_, place)| place.column),
                }})
            }
        }
    });
    let value = json!({
        "apiVersion": "switchboard.dev/v1alpha1",
        "kind": "DumpTrace",
        "protocol": asked.protocol.to_string(),
        "source": asked.source.to_string(),
        "destination": asked.destination.to_string(),
        "outcomes": branches.collect::<Vec<Value>>(),
        "notes": notes,
    });
    format!("{value:#}\n")
}

#[expect(clippy::cast_precision_loss, reason = "printed with one digit")]
fn percent(share: Ratio) -> f64 {
    share.numerator() as f64 / share.denominator() as f64 * 100.0
}
