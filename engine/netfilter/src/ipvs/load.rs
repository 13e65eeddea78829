//! What of a node's virtual servers can be evaluated.

use ruleset::Family;
use ruleset::ipvs::{Forwarding, IpvsTables, Scheduler};

use crate::TablesError;

/// Looks for what the evaluator does not know.
///
/// # Errors
/// The first virtual server that it could not serve.
pub(crate) fn check(tables: &IpvsTables) -> Result<(), TablesError> {
    for (key, server) in &tables.servers {
        let is_of = |address: std::net::IpAddr| Family::of(address) == tables.family;
        let mut reals = server.real_servers.keys();
        if !is_of(key.address.ip()) || !reals.all(|real| is_of(real.ip())) {
            return Err(TablesError::VirtualServerFamily { server: *key });
        }
        if !is_evaluated(server.scheduler) {
            return Err(TablesError::Scheduler {
                server: *key,
                scheduler: server.scheduler,
            });
        }
        let mut reals = server.real_servers.iter();
        let other = reals.find(|(_, real)| real.forwarding != Forwarding::Masquerading);
        if let Some((real, _)) = other {
            return Err(TablesError::Forwarding {
                server: *key,
                real: *real,
            });
        }
    }
    Ok(())
}

const fn is_evaluated(scheduler: Scheduler) -> bool {
    !matches!(
        scheduler,
        Scheduler::LocalityBased | Scheduler::LocalityBasedReplicated | Scheduler::MaglevHashing
    )
}
