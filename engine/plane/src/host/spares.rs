//! TCP sockets of connections that are over, for those to come.
//!
//! **Why.** Most of what a new socket costs are its buffers. smoltcp's `listen` and `connect` make a closed socket as good as
//! new (`Socket::reset`). What 0.14.0 leaves of an earlier connection, which may have been another host's, nobody sees:
//!
//! - Settings (`timeout`, `hop_limit`, `nagle`, `ack_delay`, `tsval_generator`, the congestion controller, which is none):
//!   the same for all sockets here. `keep_alive` is taken back in `Spares::put`.
//! - `remote_has_sack`: every SYN that comes sets it. `last_remote_tsval` is sent only with a `tsval_generator`.
//! - `local_rx_last_seq` chooses among ranges of data that came out of order: such data has set it before.
//! - `local_rx_last_ack`, `local_rx_dup_acks`: what ends the handshake acknowledges all that was sent by then, and so counts
//!   as no repetition but begins to count anew.
//! - `pending_fast_retransmit` remains when only a FIN is unacknowledged. The first segment after the handshake then begins
//!   with the first byte that is unacknowledged, and asks for no window: so it begins anyway, as nothing else has been
//!   sent yet, and every window is at first as large as what smoltcp buffers.

use smoltcp::socket::tcp::{Socket, SocketBuffer};

use super::solo::Solo;

/// What smoltcp buffers in each direction, in bytes. It is also the window that peers see.
const BUFFER_LEN: usize = 4096;
/// No more sockets are kept than that: enough for the ends of some hundred connections that traffic of many senders has at
/// a time, and with two buffers each about 8 MiB a plane.
const SOCKETS_KEPT: usize = 1024;

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
        if self.0.len() == SOCKETS_KEPT {
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
