//! One program at a time that programs a network namespace.
//!
//! **What.** [`NamespaceLock`] is held by whoever programs the kernel, and by every tool that it starts. **Why.** Two proxies
//! would undo each other's work; and a tool that goes on after its proxy was killed would change the rules that the next
//! proxy has just read. **Source of the semantics.** flock(2): a lock belongs to an open file, which children share;
//! namespaces(7): `/proc/self/ns/net` is one file per network namespace, so nothing is left anywhere.

use std::fs::{File, TryLockError};
use std::io;
use std::thread;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};

const NAMESPACE: &str = "/proc/self/ns/net";

/// How long a tool may go on that somebody has left behind.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Holds the lock of this process's network namespace until it is dropped, and what this process has started has ended.
#[derive(Debug)]
pub struct NamespaceLock {
    _file: File,
}

/// Why the lock is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another switchboard programs this network namespace")]
    Held,
    /// The system does not have such files.
    #[error("cannot lock {NAMESPACE}: {0}")]
    Io(#[from] io::Error),
}

impl NamespaceLock {
    /// Takes the lock; waits two seconds for tools that a killed process has left behind.
    ///
    /// # Errors
    /// When somebody else goes on having it, or the system has no such lock.
    pub fn take() -> Result<Self, LockError> {
        let file = File::open(NAMESPACE)?;
        // So that tools have it as well.
        fcntl_setfd(&file, FdFlags::empty()).map_err(io::Error::from)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Err(LockError::Held)
    }
}
