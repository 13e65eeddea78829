//! The events of an object.

use api::{Event, Kind, Object, ObjectMeta};

use super::View;
use super::page::Page;
use crate::table::{event_count, event_first_seen, event_last_seen};

/// Which events tell of an object.
pub(super) struct About<'a> {
    /// `None`: whatever the event calls it.
    pub(super) kind: Option<Kind>,
    pub(super) meta: &'a ObjectMeta,
    /// Beside the object's own.
    pub(super) other_uid: Option<&'a str>,
}

impl<'a> About<'a> {
    pub(super) fn new(kind: Kind, meta: &'a ObjectMeta) -> Self {
        Self {
            kind: Some(kind),
            meta,
            other_uid: None,
        }
    }

    fn holds(&self, event: &Event) -> bool {
        let object = &event.involved_object;
        object.name == self.meta.name
            && object.namespace == self.meta.namespace
            && self.kind.is_none_or(|kind| kind.name() == object.kind)
            && (object.uid == self.meta.uid || Some(object.uid.as_str()) == self.other_uid)
    }
}

impl Page {
    /// The section of events, those seen last at the end.
    pub(super) fn events(&mut self, about: &About<'_>, view: &View<'_>) {
        let namespace = Some(about.meta.namespace.as_str()).filter(|name| !name.is_empty());
        let listed = view.objects.list(Kind::Event, namespace);
        let events = listed.iter().filter_map(Object::as_event);
        let mut events: Vec<_> = events.filter(|event| about.holds(event)).collect();
        if events.is_empty() {
            self.field(0, "Events", "<none>");
            return;
        }
        events.sort_by(|a, b| a.last_timestamp.cmp(&b.last_timestamp));
        self.line(0, format_args!("Events:"));
        self.line(1, format_args!("Type\tReason\tAge\tFrom\tMessage"));
        self.line(1, format_args!("----\t------\t----\t----\t-------"));
        for event in events {
            let first = event_first_seen(event, view.now);
            let age = match event_count(event) {
                1 => first,
                count => {
                    let last = event_last_seen(event, view.now);
                    format!("{last} (x{count} over {first})")
                }
            };
            let from = match event.source.component.as_str() {
                "" => &event.reporting_component,
                component => component,
            };
            let (kind, reason, message) = (&event.event_type, &event.reason, event.message.trim());
            self.line(
                1,
                format_args!("{kind}\t{reason}\t{age}\t{from}\t{message}"),
            );
        }
    }
}
