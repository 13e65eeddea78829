//! What a diagnosis says, and how it reads.

use std::fmt;

use api::ObjectKey;

/// The state of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The Service that was asked about; it need not exist.
    pub service: ObjectKey,
    /// Whether it works.
    pub verdict: Verdict,
    /// The verdict in a sentence, where the findings do not say it: why it is healthy or cannot be told.
    pub summary: String,
    /// What is wrong, in the order of DBG-61; what comes after the first may be a consequence of it.
    pub findings: Vec<Finding>,
}

/// Whether a Service works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing was found that would keep a connection from an endpoint.
    Healthy,
    /// Something was found.
    Broken,
    /// The objects do not say.
    Unknown,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The entry of the debugging reference: `DBG-21`.
    pub id: &'static str,
    /// How sure it is.
    pub certainty: Certainty,
    /// The object to look at.
    pub subject: ObjectKey,
    /// The field of it that is to blame, as a path: `spec.selector.tier`.
    pub field: Option<String>,
    /// What clients see, then the reason.
    pub summary: String,
    /// One change that would help.
    pub fix: String,
    /// Commands that show the same on a real cluster.
    pub confirm: Vec<String>,
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

impl Diagnosis {
    /// Broken if anything was found, else what `otherwise` says.
    pub(crate) fn of(service: &ObjectKey, findings: Vec<Finding>, otherwise: Otherwise) -> Self {
        let (verdict, summary) = match otherwise {
            _ if !findings.is_empty() => (Verdict::Broken, String::new()),
            Otherwise::Healthy(summary) => (Verdict::Healthy, summary),
            Otherwise::Unknown(summary) => (Verdict::Unknown, summary),
        };
        Self {
            service: service.clone(),
            verdict,
            summary,
            findings,
        }
    }
}

/// The verdict when nothing is found, in a sentence.
#[derive(Clone, Debug)]
pub(crate) enum Otherwise {
    Healthy(String),
    Unknown(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Broken => "broken",
            Self::Unknown => "cannot tell",
        })
    }
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Possible => "possible",
        })
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.service, self.verdict)?;
        if !self.summary.is_empty() {
            write!(f, "\n  {}", self.summary)?;
        }
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                f.write_str("\nalso:")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    /// A line per part, each after a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  {}", self.summary)?;
        write!(f, "\n  Suggested: {}", self.fix)?;
        write!(f, "\n  Where: {}", self.subject)?;
        if let Some(field) = &self.field {
            write!(f, ", {field}")?;
        }
        for command in &self.confirm {
            write!(f, "\n  Confirm: {command}")?;
        }
        write!(f, "\n  ({}) [{}]", self.certainty, self.id)
    }
}
