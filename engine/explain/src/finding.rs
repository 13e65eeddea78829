//! One thing that is wrong with a Service, and how it reads.
//!
//! **Source of the semantics.** DBG-63 (the parts of a finding and their order), DBG-64 (how sure).

use std::fmt;

use api::ObjectKey;

/// One thing that is wrong, or that surprises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The entry of the debugging reference: `DBG-21`.
    pub id: &'static str,
    /// How sure it is.
    pub certainty: Certainty,
    /// What it does to clients.
    pub severity: Severity,
    /// The object to look at.
    pub subject: ObjectKey,
    /// The field of it that is to blame, as a path: `spec.selector.tier`.
    pub field: Option<String>,
    /// What a client sees first, without a final stop.
    pub sees: String,
    /// The reason, in one plain sentence without a final stop.
    pub why: String,
    /// One change that would help.
    pub fix: String,
    /// Commands that show the same on a real cluster.
    pub confirm: Vec<Check>,
}

/// A command to type, and what it then prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The command.
    pub command: String,
    /// A part of what it prints; `None` where that says nothing by itself.
    pub prints: Option<String>,
}

/// How sure a finding is (DBG-64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// The API objects say so.
    Certain,
    /// Something that is only declared says so.
    Likely,
    /// It would explain what is seen.
    Possible,
}

/// What a finding does to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Connections fail: all, or some of them.
    Fault,
    /// Connections work, but not as somebody may expect.
    Pitfall,
}

impl Check {
    /// A command whose output is to be looked at.
    pub(crate) fn run(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            prints: None,
        }
    }

    /// A command that prints something telling.
    pub(crate) fn prints(command: impl Into<String>, prints: impl Into<String>) -> Self {
        Self {
            prints: Some(prints.into()),
            ..Self::run(command)
        }
    }
}

impl Certainty {
    /// As findings are printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Possible => "possible",
        }
    }
}

impl Severity {
    /// As findings are printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Pitfall => "pitfall",
        }
    }
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Check {
    /// `kubectl get endpoints web -n shop → <none>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command)?;
        match &self.prints {
            Some(prints) => write!(f, " → {prints}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    /// A line per part, each after a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  {}.", self.sees)?;
        write!(f, "\n  Why: {}.", self.why)?;
        write!(f, "\n  Fix: {}.", self.fix)?;
        write!(f, "\n  Where: {}", self.subject)?;
        if let Some(field) = &self.field {
            write!(f, ", {field}")?;
        }
        for check in &self.confirm {
            write!(f, "\n  Confirm: {check}")?;
        }
        write!(f, "\n  ({}) [{}]", self.certainty, self.id)
    }
}
