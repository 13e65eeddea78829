//! Being told to end.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Hears of SIGTERM and SIGINT, which no longer end the process by themselves.
///
/// # Errors
/// When the system does not let this process handle signals.
pub fn end_signals() -> io::Result<Receiver<()>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (sender, receiver) = channel();
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        // Until whoever listened has ended.
        for _ in signals.forever() {
            if sender.send(()).is_err() {
                break;
            }
        }
    })?;
    Ok(receiver)
}
