//! A smoltcp socket in a set of its own.
//!
//! smoltcp asks every socket of a set whose packet it is; a stack knows from the flow, so a packet costs the same however
//! many sockets a host has.

use std::marker::PhantomData;

use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::AnySocket;

/// One socket, and the set that it is in.
pub(super) struct Solo<S> {
    set: SocketSet<'static>,
    handle: SocketHandle,
    kind: PhantomData<S>,
}

impl<S: AnySocket<'static>> Solo<S> {
    pub(super) fn new(socket: S) -> Self {
        let mut set = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = set.add(socket);
        Self {
            set,
            handle,
            kind: PhantomData,
        }
    }

    pub(super) fn get(&self) -> &S {
        self.set.get(self.handle)
    }

    pub(super) fn get_mut(&mut self) -> &mut S {
        self.set.get_mut(self.handle)
    }

    pub(super) const fn set(&self) -> &SocketSet<'static> {
        &self.set
    }

    pub(super) const fn set_mut(&mut self) -> &mut SocketSet<'static> {
        &mut self.set
    }
}
