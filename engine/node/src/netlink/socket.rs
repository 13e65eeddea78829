//! The way to a kernel.
//!
//! The kernel does a batch while it is being sent, so whatever it says to it is there to be read afterwards: nothing here
//! waits.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::thread;

use ruleset::nft::NftTransaction;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::batch::{BEGIN, Batch, describe};
use super::writer::{Head, Message, Writer, attribute, messages};
use super::{kind, uapi};

/// Why a kernel did not take a batch. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkError {
    /// There is no way to the kernel.
    #[error("netlink: {what}: {errno}")]
    Socket {
        /// What was being done.
        what: &'static str,
        /// What came of it.
        errno: Errno,
    },
    /// Somebody else has changed the kernel's tables since they were read.
    #[error("somebody else has changed the tables of this kernel")]
    LostRace,
    /// An operation was refused: the first of those that were.
    #[error("operation {} was refused, {errno}: {operation}", index + 1)]
    Refused {
        /// Its place in the transaction, from 0.
        index: usize,
        /// The operation.
        operation: String,
        /// Why.
        errno: Errno,
    },
    /// All of it was refused.
    #[error("the batch was refused: {errno}")]
    RefusedAll {
        /// Why.
        errno: Errno,
    },
}

/// Every change of a kernel's tables, whoever made it, gives them the next number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(pub(super) u32);

impl Generation {
    /// That of the tables after one change. There is no 0: it stands for any.
    pub(crate) const fn next(self) -> Self {
        match self.0.wrapping_add(1) {
            0 => Self(1),
            next => Self(next),
        }
    }
}

/// A netlink socket of one network namespace.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
}

/// What is read at once: the head of an answer is enough, even where a long message comes back with it.
const ANSWER: usize = 256;

/// `ERESTART`, which is for inside the kernel and has no name outside.
const RESTART: i32 = 85;

impl Socket {
    /// Opens a socket in this process's network namespace, or in a named one.
    ///
    /// # Errors
    /// When there is no such namespace, or no netlink.
    pub(crate) fn open(netns: Option<&str>) -> Result<Self, NetlinkError> {
        let fd = match netns {
            None => connected(),
            Some(name) => in_netns(name),
        };
        let what = "no socket";
        let fd = fd.map_err(|errno| NetlinkError::Socket { what, errno })?;
        Ok(Self { fd })
    }

    /// That of the kernel's tables now.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn generation(&self) -> Result<Generation, NetlinkError> {
        let mut out = Writer::default();
        let message = out.begin(Head {
            kind: kind(uapi::message::GET_GENERATION),
            flags: 0,
            sequence: 1,
            family: uapi::family::ANY,
            resource: 0,
        });
        out.end(message);
        let what = "no generation";
        let failed = |errno| NetlinkError::Socket { what, errno };
        send(&self.fd, out.as_slice(), SendFlags::empty()).map_err(failed)?;
        let mut found = None;
        let mut refused = Errno::NODATA;
        self.receive(|message| {
            if message.kind == kind(uapi::message::NEW_GENERATION) {
                let id = attribute(message, uapi::GENERATION_ID);
                let id = id.and_then(|id| id.first_chunk::<4>());
                found = id.map(|id| Generation(u32::from_be_bytes(*id)));
            } else if let Some(Some(errno)) = answer(message) {
                refused = errno;
            }
        })
        .map_err(failed)?;
        found.ok_or_else(|| failed(refused))
    }

    /// Has the kernel do a batch that was made of `transaction`.
    ///
    /// # Errors
    /// When it does not; nothing has happened then.
    pub(crate) fn commit(
        &self,
        batch: &Batch,
        transaction: &NftTransaction,
    ) -> Result<(), NetlinkError> {
        self.send(&batch.bytes)?;
        let mut is_done = false;
        let mut first_error = None;
        let received = self.receive(|message| match answer(message) {
            Some(Some(errno)) => {
                first_error.get_or_insert((message.sequence, errno));
            }
            Some(None) => is_done |= message.sequence == batch.last,
            None => {}
        });
        let what = "no answer";
        match (first_error, received) {
            (Some((sequence, errno)), _) => Err(refused(sequence, errno, transaction)),
            (None, Err(errno)) => Err(NetlinkError::Socket { what, errno }),
            (None, Ok(())) if !is_done => {
                let errno = Errno::NODATA;
                Err(NetlinkError::Socket { what, errno })
            }
            (None, Ok(())) => Ok(()),
        }
    }

    /// A batch is one datagram, for which there must be room at once.
    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        const OVERHEAD: usize = 4096;
        let failed = |what| move |errno| NetlinkError::Socket { what, errno };
        let room = bytes.len() + OVERHEAD;
        // Past the system's limit only with rights over the whole machine.
        set_socket_send_buffer_size_force(&self.fd, room)
            .or_else(|_| set_socket_send_buffer_size(&self.fd, room))
            .map_err(failed("no room for a batch"))?;
        send(&self.fd, bytes, SendFlags::empty()).map_err(failed("a batch was not sent"))?;
        Ok(())
    }

    /// Reads all that is there. When there were more answers than room for them, the first ones are.
    fn receive(&self, mut each: impl FnMut(&Message<'_>)) -> Result<(), Errno> {
        let mut result = Ok(());
        loop {
            let mut buffer = [0; ANSWER];
            match recv(&self.fd, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) => messages(&buffer[..length]).iter().for_each(&mut each),
                Err(Errno::AGAIN) => return result,
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => result = Err(Errno::NOBUFS),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// What the kernel says of a message: `Some(None)` is that all is well.
fn answer(message: &Message<'_>) -> Option<Option<Errno>> {
    if message.kind != uapi::ERROR {
        return None;
    }
    let code = i32::from_ne_bytes(*message.body.first_chunk()?);
    Some((code != 0).then(|| Errno::from_raw_os_error(-code)))
}

fn refused(sequence: u32, errno: Errno, transaction: &NftTransaction) -> NetlinkError {
    if errno.raw_os_error() == RESTART {
        return NetlinkError::LostRace;
    }
    let index = sequence.checked_sub(BEGIN + 1);
    let index = index.and_then(|index| usize::try_from(index).ok());
    let operation = index.and_then(|index| Some((index, transaction.operations().get(index)?)));
    match operation {
        None => NetlinkError::RefusedAll { errno },
        Some((index, operation)) => NetlinkError::Refused {
            index,
            operation: describe(operation).to_string(),
            errno,
        },
    }
}

fn connected() -> Result<OwnedFd, Errno> {
    let fd = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(NETFILTER),
    )?;
    connect(&fd, &SocketAddrNetlink::new(0, 0))?;
    Ok(fd)
}

/// A socket stays in the namespace that it was opened in; the thread that has gone there does not come back.
fn in_netns(name: &str) -> Result<OwnedFd, Errno> {
    let netns = File::open(Path::new("/run/netns").join(name)).map_err(|error| errno(&error))?;
    let opened = thread::Builder::new().spawn(move || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        connected()
    });
    let opened = opened.map_err(|error| errno(&error))?;
    opened.join().expect("nothing in the thread panics")
}

fn errno(error: &io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}
