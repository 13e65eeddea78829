//! Which conntrack entries to delete.
//!
//! **Source of the semantics.** `conntrack -D` with `-p`, `--orig-dst`, `--orig-port-dst`, `--reply-src`,
//! `--reply-port-src`, `--mark`; kube-proxy deletes by the same parts (`pkg/proxy/conntrack`, PROXY-73).

use std::net::IpAddr;

use ruleset::Protocol;

use crate::Entry;

/// Picks entries: all that is given must fit, what is absent fits everything.
///
/// ```
/// use ruleset::Protocol;
/// use switchboard_netfilter::{EntryFilter, NodeState};
///
/// let stale = EntryFilter {
///     protocol: Some(Protocol::UDP),
///     original_destination: Some("10.96.0.10".parse()?),
///     original_port: Some(53),
///     ..EntryFilter::default()
/// };
/// let mut state = NodeState::new();
/// assert_eq!(state.delete(|entry| stale.picks(entry)), 0);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Of this protocol.
    pub protocol: Option<Protocol>,
    /// The first packet came from here …
    pub original_source: Option<IpAddr>,
    /// … and was sent to here, before any translation …
    pub original_destination: Option<IpAddr>,
    /// … and to this port.
    pub original_port: Option<u16>,
    /// Who answers …
    pub reply_source: Option<IpAddr>,
    /// … from which port.
    pub reply_port: Option<u16>,
    /// With this mark.
    pub mark: Option<u32>,
}

impl EntryFilter {
    /// Whether an entry is picked.
    #[must_use]
    pub fn picks(&self, entry: &Entry) -> bool {
        let (original, reply) = (entry.original(), entry.reply());
        self.protocol
            .is_none_or(|wanted| wanted == original.protocol())
            && self
                .original_source
                .is_none_or(|wanted| wanted == original.source())
            && self
                .original_destination
                .is_none_or(|wanted| wanted == original.destination())
            && self
                .original_port
                .is_none_or(|wanted| original.destination_port() == Some(wanted))
            && self
                .reply_source
                .is_none_or(|wanted| wanted == reply.source())
            && self
                .reply_port
                .is_none_or(|wanted| reply.source_port() == Some(wanted))
            && self.mark.is_none_or(|wanted| wanted == entry.mark())
    }
}
