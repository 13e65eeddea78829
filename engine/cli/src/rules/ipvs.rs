//! Virtual servers and sets as JSON.

use rules::Compiler;
use ruleset::ipvs::{Forwarding, Sets, VirtualServers};
use serde_json::{Map, Value, json};

use super::json::{meaning, present};

/// Virtual servers, each with its real servers.
pub(super) fn servers(servers: &VirtualServers, compiler: &Compiler) -> Value {
    let listed = servers.iter().map(|(key, server)| {
        let real = server.real_servers.iter().map(|(address, real)| {
            let forwarding = match real.forwarding {
                Forwarding::Masquerading => "masquerading",
                Forwarding::DirectRouting => "direct-routing",
                Forwarding::Tunnelling => "tunnelling",
            };
            present([
                ("address", Some(address.to_string().into())),
                ("forwarding", Some(forwarding.into())),
                ("weight", Some(real.weight.into())),
                ("meaning", meaning(real.origin, compiler)),
            ])
        });
        let persistence = server.persistence.map(|seconds| seconds.get().into());
        present([
            ("protocol", Some(key.protocol.to_string().into())),
            ("address", Some(key.address.to_string().into())),
            ("scheduler", Some(server.scheduler.as_str().into())),
            ("persistenceSeconds", persistence),
            ("meaning", meaning(server.origin, compiler)),
            ("realServers", Some(real.collect())),
        ])
    });
    listed.collect()
}

/// Sets by their names.
pub(super) fn sets(sets: &Sets) -> Value {
    let named = sets.iter().map(|(name, set)| {
        let entries = set.entries.iter().map(ToString::to_string);
        let value = json!({"type": set.kind.to_string(), "entries": entries.collect::<Vec<_>>()});
        (name.to_string(), value)
    });
    named.collect::<Map<_, _>>().into()
}
