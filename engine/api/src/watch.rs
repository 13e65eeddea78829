//! Watches: a kind's changes from a version on, as clients see them.
//!
//! **What.** A [`Watch`] is a position in the server's log, and what is asked for. [`Watch::next`] gives the next
//! event that concerns it.
//! **Why.** Thousands of readers cost a position each; what an object was before a change, which a selector needs
//! to tell what appears and what disappears, is in the log already.
//! **Source of the semantics.** API-87 … API-91; S: `apiserver/pkg/storage/cacher/{cacher,cache_watcher}.go`.
//!
//! Deviation: the server never ends a watch that keeps up; a real one does after half an hour or more (API-91).

use std::time::Duration;
use std::vec;

use base::SimTime;

use crate::list::{Scope, Version, check_not_future, check_visible};
use crate::object::{Kind, Object};
use crate::server::ApiServer;
use crate::status::Status;
use crate::store::{Change, Store, WatchEvent};

/// How often a quiet watch is told how far it has come (API-90).
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

/// Where a watch begins (API-87).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the present state, as objects that appear, then changes: no resourceVersion, or `0`.
    #[default]
    Now,
    /// With changes after this revision only; with `initial_events`, with a state that is not older.
    After(u64),
}

/// What a watch is to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Which objects.
    pub scope: Scope,
    /// Where to begin.
    pub from: WatchFrom,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// `sendInitialEvents`: the present state comes first, and a bookmark says where it ends, if `bookmarks` are
    /// wanted.
    pub initial_events: bool,
}

/// What a watch tells (API-89).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchOutput {
    /// An object appeared in the scope.
    Added(Object),
    /// An object in the scope changed.
    Modified(Object),
    /// An object was deleted, or left the scope: its last state in the scope, with the revision of the change.
    Deleted(Object),
    /// Nothing happened in the scope up to this revision.
    Bookmark {
        /// How far the watch has come.
        revision: u64,
        /// Whether the present state was told in full (annotation `k8s.io/initial-events-end`).
        initial_events_end: bool,
    },
}

/// A client's watch. It holds no object once the initial state was told.
#[derive(Clone, Debug)]
pub struct Watch {
    kind: Kind,
    scope: Scope,
    /// The present state, as far as it was not told yet.
    initial: vec::IntoIter<Object>,
    /// Whether the end of the present state is to be told.
    announce_end: bool,
    position: u64,
    /// When the next bookmark is due.
    bookmark: Option<SimTime>,
}

impl ApiServer {
    /// Opens a watch.
    ///
    /// # Errors
    /// A field that cannot be asked for; a version of the future (504), or one that is too old (410).
    pub fn watch(&self, kind: Kind, options: WatchOptions, now: SimTime) -> Result<Watch, Status> {
        let WatchOptions {
            scope,
            from,
            bookmarks,
            initial_events,
        } = options;
        scope.check(kind)?;
        let (initial, position) = match from {
            WatchFrom::Now => {
                let list = self.select(kind, &scope, Version::Newest, now)?;
                (list.items, list.revision)
            }
            WatchFrom::After(revision) if initial_events => {
                let version = Version::NotOlderThan(revision);
                let list = self.select(kind, &scope, version, now)?;
                (list.items, list.revision)
            }
            WatchFrom::After(revision) => {
                check_not_future(self.store(), revision)?;
                check_visible(self.store(), revision, now)?;
                (Vec::new(), revision)
            }
        };
        Ok(Watch {
            kind,
            scope,
            initial: initial.into_iter(),
            announce_end: bookmarks && initial_events,
            position,
            bookmark: bookmarks.then_some(now + BOOKMARK_PERIOD),
        })
    }
}

impl Watch {
    /// The next event that there is at `now`; `None` when there is none yet.
    ///
    /// # Errors
    /// 410 when it has fallen so far behind that changes are no longer visible: list, and watch from there. The
    /// watch stays where it is.
    pub fn next(
        &mut self,
        server: &ApiServer,
        now: SimTime,
    ) -> Result<Option<WatchOutput>, Status> {
        if let Some(object) = self.initial.next() {
            return Ok(Some(WatchOutput::Added(object)));
        }
        if std::mem::take(&mut self.announce_end) {
            return Ok(Some(self.tell_position(true)));
        }
        let store = server.store();
        check_visible(store, self.position, now)?;
        for event in store.events_after(self.position) {
            self.position = event.revision;
            if let Some(output) = self.concern(store, event) {
                return Ok(Some(output));
            }
        }
        Ok(self.due_bookmark(now))
    }

    /// The revision up to which it has told everything.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    fn concern(&self, store: &Store, event: &WatchEvent) -> Option<WatchOutput> {
        if event.object.kind() != self.kind {
            return None;
        }
        let before = store
            .before(event)
            .filter(|before| self.scope.holds(before));
        let after = (event.change != Change::Deleted && self.scope.holds(&event.object))
            .then(|| event.object.clone());
        match (before, after) {
            (None, None) => None,
            (None, Some(object)) => Some(WatchOutput::Added(object)),
            (Some(_), Some(object)) => Some(WatchOutput::Modified(object)),
            (Some(before), None) => {
                let mut last = before.clone();
                last.meta_mut()
                    .resource_version
                    .clone_from(&event.object.meta().resource_version);
                Some(WatchOutput::Deleted(last))
            }
        }
    }

    fn due_bookmark(&mut self, now: SimTime) -> Option<WatchOutput> {
        let due = self.bookmark.filter(|due| *due <= now)?;
        let passed = now.since(due).as_nanos() / BOOKMARK_PERIOD.as_nanos();
        let periods = u32::try_from(passed + 1).unwrap_or(u32::MAX);
        self.bookmark = Some(due + BOOKMARK_PERIOD * periods);
        Some(self.tell_position(false))
    }

    const fn tell_position(&self, initial_events_end: bool) -> WatchOutput {
        WatchOutput::Bookmark {
            revision: self.position,
            initial_events_end,
        }
    }
}
