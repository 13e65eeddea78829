//! Faults begin and end.
//!
//! What is wrong with a node is asked of all faults whenever one of them begins or ends, so that they may overlap. A
//! fault that lasts for a while ends on the clock, and is something pending until then. Links, connection tracking and the
//! answers of DNS are no business of the control plane's: whoever has packets looks at [`Control::faults`] whenever
//! [`Control::fault_changes`] is another number.
//!
//! Deviation: while the API server is down, its clients do not try in vain: they go on when it is back. A delayed watch is
//! that of a node's proxy; its kubelet is not delayed. The load balancer does not notice that a proxy is dead.

use std::time::Duration;

use api::{Kind, Object, ObjectKey, Status};

use super::{Control, Reader};
use crate::{Fault, FaultId, Happening, LinkEnd, Place, ReferenceError};

/// As kind writes it into a kubeconfig, with kubeadm's port.
const API_SERVER: &str = "127.0.0.1:6443";

impl Control {
    /// Begins a fault, which is over after a while or when it is healed.
    ///
    /// # Errors
    /// When it is one of something that does not exist; nothing has happened then.
    pub fn fault(
        &mut self,
        fault: Fault,
        lasts: Option<Duration>,
    ) -> Result<FaultId, ReferenceError> {
        self.check_exists(&fault)?;
        let until = lasts.map(|span| self.now + span);
        let begun = fault.clone();
        let id = self.faults.begin(fault, until);
        if let Fault::PodCrash { pods } = &begun {
            for pod in pods {
                self.crash_pod(pod);
            }
        }
        self.feel(&begun);
        Ok(id)
    }

    /// Ends a fault and gives it; `None` when it was over already.
    pub fn heal(&mut self, id: FaultId) -> Option<Fault> {
        let fault = self.faults.end(id)?;
        self.feel(&fault);
        Some(fault)
    }

    /// The faults that there are.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    /// A number that is another one after each beginning and end of a fault.
    #[must_use]
    pub const fn fault_changes(&self) -> u64 {
        self.faults.changes()
    }

    /// Whether the API server answers.
    ///
    /// # Errors
    /// What kubectl says when it does not.
    pub fn check_reachable(&self) -> Result<(), Status> {
        match self.faults.is_api_down() {
            true => Err(Status::connection_refused(API_SERVER)),
            false => Ok(()),
        }
    }

    /// Ends the faults that are over.
    pub(super) fn end_faults(&mut self) {
        while let Some((at, id)) = self.faults.next_end()
            && at <= self.now
        {
            let over = self.heal(id).expect("it is among those that there are");
            self.happenings.push(Happening {
                at,
                who: "fault".to_owned(),
                what: format!("no more: {over}"),
            });
        }
    }

    /// Those whom a fault concerns learn how things are now.
    fn feel(&mut self, fault: &Fault) {
        match fault {
            Fault::PartitionApi { node }
            | Fault::ProxyCrash { node }
            | Fault::ProxyStall { node } => {
                self.feel_at(&Place::Node(node.clone()));
            }
            Fault::WatchDelay { place, .. } | Fault::Down { place } => self.feel_at(place),
            Fault::PodUnready { pods } => {
                for pod in pods {
                    self.set_pod_unready(pod, self.faults.is_unready(pod));
                }
            }
            Fault::ApiDown => {
                (0..self.config.nodes.len()).for_each(|index| self.feel_on(index));
                self.reschedule_all();
            }
            Fault::PodCrash { .. }
            | Fault::Link { .. }
            | Fault::PodLink { .. }
            | Fault::ConntrackFull { .. }
            | Fault::DnsDown => {}
        }
        self.reschedule(Reader::FAULTS);
    }

    fn feel_at(&mut self, place: &Place) {
        for index in 0..self.config.nodes.len() {
            if place.has(&self.config.nodes[index]) {
                self.feel_on(index);
            }
        }
    }

    /// A node's kubelet and its proxy learn how things are now.
    fn feel_on(&mut self, index: usize) {
        let node = &self.config.nodes[index];
        let (name, hindrance) = (node.name.clone(), self.faults.hindrance(node));
        self.set_node_down(&name, hindrance.is_down);
        self.set_node_cut_off(&name, hindrance.is_cut_off);
        self.hinder_proxy(index, hindrance);
    }

    fn check_exists(&self, fault: &Fault) -> Result<(), ReferenceError> {
        match fault {
            Fault::PartitionApi { node }
            | Fault::ProxyCrash { node }
            | Fault::ProxyStall { node }
            | Fault::ConntrackFull { node, .. } => self.node_index(node).map(drop),
            Fault::WatchDelay { place, .. } | Fault::Down { place } => self.check_place(place),
            Fault::Link { a, b, .. } if a == b && !matches!(a, LinkEnd::Zone(_)) => {
                Err(ReferenceError {
                    wanted: format!("link between {a} and itself"),
                    existing: Vec::new(),
                })
            }
            Fault::Link { a, b, .. } => self.check_end(a).and_then(|()| self.check_end(b)),
            Fault::PodLink { pods, .. } => pods.iter().try_for_each(|pod| self.check_pod_link(pod)),
            Fault::PodCrash { pods } | Fault::PodUnready { pods } => {
                pods.iter().try_for_each(|pod| self.check_pod(pod))
            }
            Fault::ApiDown | Fault::DnsDown => Ok(()),
        }
    }

    fn check_place(&self, place: &Place) -> Result<(), ReferenceError> {
        match place {
            Place::Node(node) => self.node_index(node).map(drop),
            Place::Zone(_) if self.config.nodes.iter().any(|node| place.has(node)) => Ok(()),
            Place::Zone(_) => {
                let zones = self.config.nodes.iter();
                let zones = zones.filter_map(|node| node.zone.as_ref());
                let mut existing: Vec<String> = zones.map(|zone| format!("zone/{zone}")).collect();
                existing.sort();
                existing.dedup();
                let wanted = place.to_string();
                Err(ReferenceError { wanted, existing })
            }
        }
    }

    fn check_end(&self, end: &LinkEnd) -> Result<(), ReferenceError> {
        match end {
            LinkEnd::Node(node) => self.check_place(&Place::Node(node.clone())),
            LinkEnd::Zone(zone) => self.check_place(&Place::Zone(zone.clone())),
            LinkEnd::Outside(name) => {
                let hosts = &self.config.outside;
                match hosts.iter().any(|host| host.name == *name) {
                    true => Ok(()),
                    false => Err(ReferenceError {
                        wanted: end.to_string(),
                        existing: hosts
                            .iter()
                            .map(|host| format!("outside/{}", host.name))
                            .collect(),
                    }),
                }
            }
        }
    }

    /// A Pod that is on no node yet has no link, nor has one that shares its node's network.
    fn check_pod_link(&self, key: &ObjectKey) -> Result<(), ReferenceError> {
        self.check_pod(key)?;
        let pod = self.api.get(key).and_then(Object::as_pod);
        match pod.is_some_and(|pod| !pod.spec.node_name.is_empty() && !pod.spec.host_network) {
            true => Ok(()),
            false => Err(ReferenceError {
                wanted: format!("link between {key} and a node"),
                existing: Vec::new(),
            }),
        }
    }

    fn check_pod(&self, pod: &ObjectKey) -> Result<(), ReferenceError> {
        match self.api.get(pod) {
            Some(_) => Ok(()),
            None => Err(ReferenceError {
                wanted: pod.to_string(),
                existing: self
                    .api
                    .list(Kind::Pod, pod.namespace.as_deref())
                    .map(|known| known.key().to_string())
                    .collect(),
            }),
        }
    }
}
