//! What a running proxy has to tell a person.

use std::fmt;
use std::io;
use std::time::Duration;

use base::format_duration;
use proxy::SyncKind;
use rules::ServiceName;

use crate::{CommitError, LoadError, ToolError, Unencodable};

/// Something that happened.
#[derive(Debug)]
pub enum Notice {
    /// A sync that something asked for went well.
    Synced {
        /// Full or partial.
        kind: SyncKind,
        /// How many Services there are.
        services: usize,
        /// How long it took.
        took: Duration,
    },
    /// A sync failed.
    SyncFailed {
        /// Why.
        error: CommitError,
        /// When it is tried again, unless something asks for a sync before.
        retry: Duration,
    },
    /// Somebody has flushed the rules (PROXY-67).
    Flushed,
    /// The rules are in force, but what a proxy in another mode may have left is not taken away.
    NotCleanedUp(LoadError),
    /// `nft` wrote what this library cannot put into netlink messages.
    WrittenByText(Unencodable),
    /// Whoever was to go and may have no connections any more is still there (PROXY-61).
    NotDrained(LoadError),
    /// Stale UDP connections could not be deleted.
    ConntrackFailed(ToolError),
    /// Nobody listens at a health-check node port (PROXY-70).
    HealthCheckFailed {
        /// Whose port.
        service: ServiceName,
        /// The port.
        port: u16,
        /// Why.
        error: io::Error,
    },
}

impl Notice {
    /// Whether somebody should look into it.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        !matches!(self, Self::Synced { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Synced {
                kind,
                services,
                took,
            } => {
                let kind = match kind {
                    SyncKind::Full => "full",
                    SyncKind::Partial => "partial",
                };
                // Nobody reads nanoseconds of what took milliseconds.
                let took =
                    Duration::from_micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                let took = format_duration(took);
                write!(f, "{kind} sync done in {took}, Services: {services}")
            }
            Self::SyncFailed { error, retry } => {
                let (cause, retry) = (&error.source, format_duration(*retry));
                write!(f, "sync failed, again in {retry}: {error}: {cause}")
            }
            Self::Flushed => f.write_str("somebody has flushed the rules: they are written again"),
            Self::NotCleanedUp(error) => {
                write!(
                    f,
                    "what another mode may have left is not taken away: {error}"
                )
            }
            Self::NotDrained(error) => {
                write!(f, "real servers that were to go are still there: {error}")
            }
            Self::WrittenByText(unencodable) => {
                write!(
                    f,
                    "rules are written by nft, which takes longer: {unencodable}"
                )
            }
            Self::ConntrackFailed(error) => {
                write!(f, "stale UDP connections are not deleted: {error}")
            }
            Self::HealthCheckFailed {
                service,
                port,
                error,
            } => write!(
                f,
                "FailedToStartServiceHealthcheck: service {service}, port {port}: {error}"
            ),
        }
    }
}
