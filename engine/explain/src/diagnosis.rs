//! What a diagnosis comes to, and how it reads.

use std::fmt;

use api::ObjectKey;

use crate::{Certainty, Finding, Severity};

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

/// The verdict when nothing is found, in a sentence.
#[derive(Clone, Debug)]
pub(crate) enum Otherwise {
    Healthy(String),
    Unknown(String),
}

impl Diagnosis {
    /// Broken if a fault was found, unknown if it is only possible that there is one, else what `otherwise` says.
    pub(crate) fn of(service: &ObjectKey, findings: Vec<Finding>, otherwise: Otherwise) -> Self {
        let faults = findings
            .iter()
            .filter(|found| found.severity == Severity::Fault);
        let surest = faults.map(|found| found.certainty).min();
        let (verdict, summary) = match (surest, otherwise) {
            (Some(Certainty::Certain | Certainty::Likely), _) => (Verdict::Broken, String::new()),
            (Some(Certainty::Possible), Otherwise::Healthy(_)) => (Verdict::Unknown, String::new()),
            (_, Otherwise::Unknown(summary)) => (Verdict::Unknown, summary),
            (None, Otherwise::Healthy(summary)) => (Verdict::Healthy, summary),
        };
        Self {
            service: service.clone(),
            verdict,
            summary,
            findings,
        }
    }
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

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.service, self.verdict)?;
        if !self.summary.is_empty() {
            write!(f, "\n  {}", self.summary)?;
        }
        let shown_before = usize::from(!self.summary.is_empty());
        for (index, finding) in self.findings.iter().enumerate() {
            if index + shown_before > 0 {
                f.write_str(match finding.severity {
                    Severity::Fault => "\nalso:",
                    Severity::Pitfall => "\nmind:",
                })?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}
