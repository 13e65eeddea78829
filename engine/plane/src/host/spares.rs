//! TCP sockets of connections that are over, for those to come.
//!
//! **Why.** Most of what a new socket costs are its buffers. smoltcp's `listen` and `connect` make a closed socket as good as
//! new; what they leave of an earlier connection (its last acknowledgements) the first packets of the next one replace.

use smoltcp::socket::tcp::{Socket, SocketBuffer};

use super::solo::Solo;

/// What smoltcp buffers in each direction, in bytes. It is also the window that peers see.
const BUFFER_LEN: usize = 4096;
/// No more sockets are kept than that.
const SPARES_MAX: usize = 1024;

/// Closed sockets, the last one on top.
#[derive(Default)]
pub(super) struct Spares(Vec<Solo<Socket<'static>>>);

impl Spares {
    /// A closed socket.
    pub(super) fn take(&mut self) -> Solo<Socket<'static>> {
        self.0.pop().unwrap_or_else(|| Solo::new(new_socket()))
    }

    /// Takes a socket back, whatever its connection has come to.
    pub(super) fn put(&mut self, mut spare: Solo<Socket<'static>>) {
        if self.0.len() == SPARES_MAX {
            return;
        }
        let socket = spare.get_mut();
        socket.abort();
        socket.set_keep_alive(None);
        self.0.push(spare);
    }
}

/// No delayed ACKs and no waiting for full segments: in a simulation both only blur latencies.
fn new_socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER_LEN]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(false);
    socket
}
