//! Being told to end.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Hears of SIGTERM and SIGINT. The first no longer ends the process by itself, if somebody listens; the second does.
///
/// # Errors
/// When the system does not let this process handle signals.
pub fn end_signals() -> io::Result<Receiver<()>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (sender, receiver) = channel();
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        let mut is_told = false;
        for signal in signals.forever() {
            if is_told || sender.send(()).is_err() {
                // It comes back only if the signal cannot be raised: then the next one may be.
                drop(emulate_default_handler(signal));
            }
            is_told = true;
        }
    })?;
    Ok(receiver)
}
