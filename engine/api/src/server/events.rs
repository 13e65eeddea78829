//! Events: what the server's own loops tell about an object.
//!
//! **Source of the semantics.** S: `client-go/tools/record/event.go` (makeEvent), `client-go/tools/events/event_recorder.go`;
//! an Event is in the namespace of what it is about, or in `default`, under that name and the instant in hexadecimal.
//!
//! Deviation: an Event stays for ever (Kubernetes drops it after an hour), and what repeats is counted at once, not
//! when a series ends.

use std::collections::BTreeMap;

use base::SimTime;
use serde_json::json;

use super::ApiServer;
use crate::names::uid;
use crate::object::{Event, EventSource, Kind, Object, ObjectKey, ObjectMeta, ObjectReference};
use crate::timestamp::{EPOCH_UNIX_SECONDS, timestamp};

/// Who tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    /// The keeper of the default ServiceCIDR.
    ServiceCidrs,
    /// The repair of node ports.
    NodePorts,
    /// The repair of addresses, whose Events are `events.k8s.io/v1`: they have an action and a series, and no count.
    Addresses {
        /// `ClusterIPAllocation` …
        action: &'static str,
    },
}

/// What was told, so that it is counted when it is told again: the object's uid, reason and message.
pub(super) type Told = BTreeMap<(String, String, String), ObjectKey>;

impl Teller {
    const fn name(self) -> &'static str {
        match self {
            Self::ServiceCidrs => "kubernetes-service-cidr-controller",
            Self::NodePorts => "portallocator-repair-controller",
            Self::Addresses { .. } => "ipallocator-repair-controller",
        }
    }
}

impl ApiServer {
    /// Tells a warning about an object.
    pub(super) fn tell(
        &mut self,
        teller: Teller,
        about: &Object,
        reason: &str,
        message: String,
        now: SimTime,
    ) {
        let meta = about.meta();
        let known = (meta.uid.clone(), reason.to_owned(), message.clone());
        let key = self.upkeep.told.get(&known);
        if let Some(Object::Event(event)) = key.and_then(|key| self.store.get(key)) {
            let repeated = repeated(Event::clone(event), teller, now);
            self.put(repeated.into(), now);
            return;
        }
        let namespace = match meta.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        };
        let mut event = new_event(teller, about, now);
        namespace.clone_into(&mut event.metadata.namespace);
        reason.clone_into(&mut event.reason);
        event.message = message;
        if self.check_namespace_takes(&event.clone().into()).is_err() {
            return;
        }
        event.metadata.name = self.free_event_name(namespace, &meta.name, now);
        event.metadata.uid = uid(&mut self.own_identities);
        event.metadata.creation_timestamp = Some(timestamp(now));
        let event = self.put(event.into(), now);
        self.upkeep.told.insert(known, event.key());
    }

    fn free_event_name(&self, namespace: &str, about: &str, now: SimTime) -> String {
        let start = EPOCH_UNIX_SECONDS * 1_000_000_000 + now.as_nanos();
        let names = (start..).map(|nanos| format!("{about}.{nanos:x}"));
        let free = |name: &String| {
            let key = ObjectKey::new(Kind::Event, namespace, name);
            self.get(&key).is_none()
        };
        let mut free = names.filter(free);
        free.next().expect("there are more instants than Events")
    }
}

fn new_event(teller: Teller, about: &Object, now: SimTime) -> Event {
    let (kind, meta) = (about.kind(), about.meta());
    let mut event = Event {
        metadata: ObjectMeta::default(),
        involved_object: ObjectReference {
            kind: kind.name().to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            api_version: kind.api_version().to_owned(),
            resource_version: meta.resource_version.clone(),
            field_path: String::new(),
        },
        event_type: "Warning".to_owned(),
        reporting_component: teller.name().to_owned(),
        ..Event::default()
    };
    if let Teller::Addresses { action } = teller {
        event.reporting_instance = format!("{}-kube-apiserver", teller.name());
        event.rest.insert("eventTime", json!(micro_time(now)));
        event.rest.insert("action", json!(action));
    } else {
        event.source = EventSource {
            component: teller.name().to_owned(),
            host: String::new(),
        };
        event.first_timestamp = Some(timestamp(now));
        event.last_timestamp = Some(timestamp(now));
        event.count = Some(1);
    }
    event
}

fn repeated(mut event: Event, teller: Teller, now: SimTime) -> Event {
    if let Teller::Addresses { .. } = teller {
        let series = event.rest.get("series");
        let count = series.and_then(|series| series["count"].as_i64());
        let series = json!({
            "count": count.unwrap_or(1) + 1,
            "lastObservedTime": micro_time(now),
        });
        event.rest.insert("series", series);
    } else {
        event.count = event.count.map(|count| count.saturating_add(1));
        event.last_timestamp = Some(timestamp(now));
    }
    event
}

/// metav1.MicroTime: six digits, always.
fn micro_time(now: SimTime) -> String {
    let seconds = timestamp(now);
    let micros = now.as_nanos() / 1_000 % 1_000_000;
    format!("{}.{micros:06}Z", seconds.trim_end_matches('Z'))
}
