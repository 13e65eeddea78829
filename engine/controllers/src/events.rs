//! Events: what controllers tell about the objects that they work on.
//!
//! **What.** An Event is created when something is told for the first time, and counted when it is told again.
//! **Why.** A controller may have something to tell when a write of its own is refused, and writes only when it is
//! asked to; what is told waits until then.
//! **Source of the semantics.** S: `client-go/tools/record` (makeEvent, `events_cache.go`); an Event is in the
//! namespace of what it is about, under that name and the instant in hexadecimal.
//!
//! Deviation: Events of one kind are neither combined nor held back when there are many.

use std::collections::BTreeMap;

use api::{EPOCH_UNIX_SECONDS, Event, EventSource, Object, ObjectMeta, ObjectReference, timestamp};
use base::SimTime;

use crate::controller::Effect;

/// Tells on behalf of one component.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    component: &'static str,
    /// Each Event as it was written last.
    told: BTreeMap<Known, Event>,
    waiting: Vec<Effect>,
    since: Option<SimTime>,
    /// The instant in the last Event's name, in nanoseconds: no two Events share one.
    last: u64,
}

/// The namespace, name and uid of what was told about, which part of it, the reason and the message.
type Known = [String; 6];

/// What is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telling<'a> {
    /// Whether it is a warning.
    pub(crate) is_warning: bool,
    /// Why, as a word.
    pub(crate) reason: &'a str,
    /// Why, as a sentence.
    pub(crate) message: String,
    /// The part of the object that it is about, if it is about a part.
    pub(crate) field_path: String,
    /// The node of the component that tells it, if it is one of a node.
    pub(crate) host: &'a str,
}

impl Recorder {
    pub(crate) const fn new(component: &'static str) -> Self {
        Self {
            component,
            told: BTreeMap::new(),
            waiting: Vec::new(),
            since: None,
            last: 0,
        }
    }

    /// Tells a warning about an object.
    pub(crate) fn warn(&mut self, about: &Object, reason: &str, message: String, now: SimTime) {
        let telling = Telling {
            is_warning: true,
            reason,
            message,
            ..Telling::default()
        };
        self.tell(about, telling, now);
    }

    /// Tells that all is well with an object.
    pub(crate) fn note(&mut self, about: &Object, reason: &str, message: String, now: SimTime) {
        let telling = Telling {
            reason,
            message,
            ..Telling::default()
        };
        self.tell(about, telling, now);
    }

    /// Tells something about an object.
    pub(crate) fn tell(&mut self, about: &Object, telling: Telling<'_>, now: SimTime) {
        let meta = about.meta();
        let known = [
            meta.namespace.clone(),
            meta.name.clone(),
            meta.uid.clone(),
            telling.field_path.clone(),
            telling.reason.to_owned(),
            telling.message.clone(),
        ];
        self.since.get_or_insert(now);
        if let Some(event) = self.told.get_mut(&known) {
            event.count = event.count.map(|count| count.saturating_add(1));
            event.last_timestamp = Some(timestamp(now));
            self.waiting.push(Effect::Update(event.clone().into()));
            return;
        }
        self.last = now.as_nanos().max(self.last + 1);
        let mut event = new_event(self.component, about, telling, now);
        event.metadata.name = format!("{}.{:x}", meta.name, unix_nanos(self.last));
        self.waiting.push(Effect::Create(event.clone().into()));
        self.told.insert(known, event);
    }

    /// Since when something waits to be written.
    pub(crate) const fn next_due(&self) -> Option<SimTime> {
        self.since
    }

    /// What is to be written now.
    pub(crate) fn take(&mut self) -> Vec<Effect> {
        self.since = None;
        std::mem::take(&mut self.waiting)
    }

    /// Learns that a write has been refused; says whether it was an Event. Events are not tried again: what is told
    /// once more is told as if for the first time.
    pub(crate) fn refused(&mut self, effect: &Effect) -> bool {
        let (Effect::Create(Object::Event(event)) | Effect::Update(Object::Event(event))) = effect
        else {
            return false;
        };
        let refused = &event.metadata;
        self.told.retain(|_, told| {
            (&told.metadata.namespace, &told.metadata.name) != (&refused.namespace, &refused.name)
        });
        true
    }
}

const fn unix_nanos(nanos: u64) -> u64 {
    EPOCH_UNIX_SECONDS * 1_000_000_000 + nanos
}

fn new_event(component: &str, about: &Object, telling: Telling<'_>, now: SimTime) -> Event {
    let (kind, meta) = (about.kind(), about.meta());
    // What has no namespace is told of in the default one.
    let namespace = match meta.namespace.as_str() {
        "" => "default",
        own => own,
    };
    Event {
        metadata: ObjectMeta::named(namespace, ""),
        involved_object: ObjectReference {
            kind: kind.name().to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            api_version: kind.api_version().to_owned(),
            resource_version: meta.resource_version.clone(),
            field_path: telling.field_path,
        },
        event_type: if telling.is_warning {
            "Warning"
        } else {
            "Normal"
        }
        .to_owned(),
        reason: telling.reason.to_owned(),
        message: telling.message,
        source: EventSource {
            component: component.to_owned(),
            host: telling.host.to_owned(),
        },
        first_timestamp: Some(timestamp(now)),
        last_timestamp: Some(timestamp(now)),
        count: Some(1),
        reporting_component: component.to_owned(),
        reporting_instance: telling.host.to_owned(),
        ..Event::default()
    }
}
