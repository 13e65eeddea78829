//! An API server and a zone that follows it.

// Each test file is a program of its own and uses a part of this.
#![allow(dead_code, reason = "shared by several test programs")]

use api::yaml::{Source, split};
use api::{ApiConfig, ApiServer, DeleteOptions, ObjectKey, decode};
use base::{Seed, SimTime};
use switchboard_dns::{ClusterZone, ServerOptions, Upstream};

pub(crate) struct Cluster {
    api: ApiServer,
    seen: usize,
    pub(crate) zone: ClusterZone,
}

impl Cluster {
    /// With the settings of kubeadm, and nobody elsewhere.
    pub(crate) fn new(objects: &str) -> Self {
        Self::with(ServerOptions::KUBEADM, Upstream::Nobody, objects)
    }

    pub(crate) fn with(options: ServerOptions, upstream: Upstream, objects: &str) -> Self {
        let cidrs = ["10.96.0.0/12", "fd00::/112"];
        let config = ApiConfig {
            service_cidrs: cidrs.map(|text| text.parse().unwrap()).to_vec(),
            node_port_range: 30_000..=32_767,
            dns_domain: "cluster.local".to_owned(),
            api_servers: Vec::new(),
            seed: Seed::new(1),
        };
        let mut cluster = Self {
            api: ApiServer::new(config, SimTime::ZERO),
            seen: 0,
            zone: ClusterZone::with("cluster.local", options, upstream),
        };
        cluster.apply(objects);
        cluster
    }

    pub(crate) fn apply(&mut self, objects: &str) {
        for document in split(&Source::new("objects", objects)).unwrap() {
            for manifest in decode(&document).unwrap() {
                self.api.apply(manifest.object, SimTime::ZERO).unwrap();
            }
        }
        self.follow();
    }

    pub(crate) fn delete(&mut self, key: &ObjectKey) {
        let options = DeleteOptions::default();
        self.api.delete(key, &options, SimTime::ZERO).unwrap();
        self.follow();
    }

    fn follow(&mut self) {
        let log = self.api.events_after(0);
        log[self.seen..]
            .iter()
            .for_each(|event| self.zone.observe(event));
        self.seen = log.len();
    }
}
