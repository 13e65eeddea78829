//! What all stacks of a plane use in turn: the device under them, and sockets of connections that are over.
//!
//! **Why** one for all: a host has one connection now and then, so what it kept for the next would be out of every cache by
//! then. What was used last, by whatever host, is not.

use super::spares::Spares;
use super::wire::Wire;

/// The supplies.
pub(crate) struct Supplies {
    pub(super) wire: Wire,
    pub(super) spares: Spares,
}

impl Supplies {
    /// Supplies for stacks with links of this size.
    pub(crate) fn new(mtu: usize) -> Self {
        Self {
            wire: Wire::new(mtu),
            spares: Spares::default(),
        }
    }

    /// For the stack that runs next. What is left on the wire would leave, or be received, under its name.
    pub(crate) fn lend(&mut self) -> &mut Self {
        debug_assert!(self.wire.is_clear(), "every stack leaves the wire clear");
        self
    }

    /// Has a stack's packets, in order.
    pub(crate) fn take_packets(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.wire.outgoing)
    }

    /// Takes back the list that packets were in: the next ones need none of their own.
    pub(crate) fn reuse(&mut self, packets: Vec<Vec<u8>>) {
        debug_assert!(self.wire.is_clear(), "no stack runs meanwhile");
        self.wire.outgoing = packets;
    }
}
