//! What happens to nodes and Pods beside what is written to the API.
//!
//! Each of these says how things are from now on; saying it twice changes nothing. Controllers learn of it at once,
//! and what follows from it happens on the clock: run [`Control::step`] as ever. Names of nodes and Pods that do not
//! exist mean nobody: who offers these to a user looks the names up first.

use std::collections::BTreeMap;

use api::ObjectKey;
use controllers::Incident;

use super::{Control, Reader};

/// The nodes that are in trouble; one that is not among them is up and connected.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles(BTreeMap<String, Trouble>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Trouble {
    is_down: bool,
    is_cut_off: bool,
}

impl Control {
    /// A node loses its power, or gets it back.
    ///
    /// Without power its containers end at once ([`controllers::PodSignal::Removed`], without a SIGTERM), and its kubelet
    /// does nothing and sends no heartbeats, so that the node lifecycle controller finds it unreachable after
    /// `timing.nodeGrace`. With power again it runs the Pods that the API has for it, as after a reboot.
    ///
    /// The node's proxy and its links are not touched: whoever takes the node down for good stops those as well.
    pub fn set_node_down(&mut self, node: &str, down: bool) {
        self.set_trouble(node, |trouble| trouble.is_down = down);
    }

    /// A node's kubelet loses the API server, or finds it again.
    ///
    /// Without it, it goes on running what it runs, but sees no change and writes none, heartbeats included; afterwards
    /// it catches up. The node's proxy is not touched.
    pub fn set_node_cut_off(&mut self, node: &str, cut_off: bool) {
        self.set_trouble(node, |trouble| trouble.is_cut_off = cut_off);
    }

    /// The containers of a running Pod end with an error, once ([`controllers::PodSignal::Crashed`]). Its kubelet starts
    /// them again, or not, as its `restartPolicy` says. A Pod whose containers do not run has none to end.
    pub fn crash_pod(&mut self, pod: &ObjectKey) {
        self.tell(&Incident::PodCrash(pod.clone()));
    }

    /// A Pod's readiness is taken to fail for as long as this is so, whatever its probes find; its containers run on.
    pub fn set_pod_unready(&mut self, pod: &ObjectKey, unready: bool) {
        self.tell(&Incident::PodUnready {
            pod: pod.clone(),
            is_unready: unready,
        });
    }

    fn set_trouble(&mut self, node: &str, change: impl FnOnce(&mut Trouble)) {
        let before = self.troubles.0.get(node).copied().unwrap_or_default();
        let mut trouble = before;
        change(&mut trouble);
        if trouble == before {
            return;
        }
        if trouble == Trouble::default() {
            self.troubles.0.remove(node);
        } else {
            self.troubles.0.insert(node.to_owned(), trouble);
        }
        self.tell(&Incident::Node {
            node: node.to_owned(),
            is_up: !trouble.is_down,
            is_connected: !trouble.is_cut_off,
        });
    }

    fn tell(&mut self, incident: &Incident) {
        for controller in &mut self.controllers {
            controller.reader.happen(incident, self.now);
        }
        for index in 0..self.controllers.len() {
            self.reschedule(Reader::controller(index));
        }
    }
}
