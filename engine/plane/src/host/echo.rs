//! Echo requests of a host that nobody has answered yet.

use std::collections::BTreeMap;

use crate::SocketId;

/// Who waits, by the identifier of the request.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    waiting: BTreeMap<u16, SocketId>,
    next_id: u16,
}

impl Echoes {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// An identifier that no request has, in turn; `None` when all are taken.
    pub(super) fn free_id(&mut self) -> Option<u16> {
        let (low, high) = (self.next_id..=u16::MAX, 0..self.next_id);
        let id = low.chain(high).find(|id| !self.waiting.contains_key(id))?;
        self.next_id = id.wrapping_add(1);
        Some(id)
    }

    pub(super) fn begin(&mut self, id: u16, socket: SocketId) {
        self.waiting.insert(id, socket);
    }

    /// Ends the waiting of an identifier: the answer is here.
    pub(super) fn take(&mut self, id: u16) -> Option<SocketId> {
        self.waiting.remove(&id)
    }

    /// Ends the waiting of a socket.
    pub(super) fn end(&mut self, socket: SocketId) {
        self.waiting.retain(|_, waiting| *waiting != socket);
    }
}
