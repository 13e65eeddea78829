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
    told: BTreeMap<Telling, Event>,
    waiting: Vec<Effect>,
    since: Option<SimTime>,
    /// The instant in the last Event's name, in nanoseconds: no two Events share one.
    last: u64,
}

/// The name and uid of what was told about, the reason and the message.
type Telling = [String; 5];

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

    /// Tells a warning about an object with a namespace.
    pub(crate) fn warn(&mut self, about: &Object, reason: &str, message: String, now: SimTime) {
        self.tell(about, "Warning", reason, message, now);
    }

    /// Tells that all is well with an object with a namespace.
    pub(crate) fn note(&mut self, about: &Object, reason: &str, message: String, now: SimTime) {
        self.tell(about, "Normal", reason, message, now);
    }

    fn tell(
        &mut self,
        about: &Object,
        event_type: &str,
        reason: &str,
        message: String,
        now: SimTime,
    ) {
        let meta = about.meta();
        let telling = [
            meta.namespace.clone(),
            meta.name.clone(),
            meta.uid.clone(),
            reason.to_owned(),
            message.clone(),
        ];
        self.since.get_or_insert(now);
        if let Some(event) = self.told.get_mut(&telling) {
            event.count = event.count.map(|count| count.saturating_add(1));
            event.last_timestamp = Some(timestamp(now));
            self.waiting.push(Effect::Update(event.clone().into()));
            return;
        }
        self.last = now.as_nanos().max(self.last + 1);
        let mut event = new_event(self.component, about, now);
        event.metadata.name = format!("{}.{:x}", meta.name, unix_nanos(self.last));
        event_type.clone_into(&mut event.event_type);
        reason.clone_into(&mut event.reason);
        event.message = message;
        self.waiting.push(Effect::Create(event.clone().into()));
        self.told.insert(telling, event);
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

fn new_event(component: &str, about: &Object, now: SimTime) -> Event {
    let (kind, meta) = (about.kind(), about.meta());
    Event {
        metadata: ObjectMeta::named(&meta.namespace, ""),
        involved_object: ObjectReference {
            kind: kind.name().to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            api_version: kind.api_version().to_owned(),
            resource_version: meta.resource_version.clone(),
            field_path: String::new(),
        },
        source: EventSource {
            component: component.to_owned(),
            host: String::new(),
        },
        first_timestamp: Some(timestamp(now)),
        last_timestamp: Some(timestamp(now)),
        count: Some(1),
        reporting_component: component.to_owned(),
        ..Event::default()
    }
}
