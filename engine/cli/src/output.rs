//! What is common to everything that is printed.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use miette::Report;

use crate::input;

/// Whether to use colour: on a terminal, unless `NO_COLOR` says otherwise.
pub(crate) fn colour() -> bool {
    let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    wanted && io::stdout().is_terminal()
}

/// Prints a text. A reader that goes away early (`| head`) is no error.
///
/// # Errors
/// When the text cannot be written for another reason: a full disk, say.
pub(crate) fn print(text: &str) -> Result<(), Report> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            Err(input::error(format!("cannot write output: {why}"), None))
        }
        _ => Ok(()),
    }
}

/// Says what went wrong. Where even that cannot be written, the exit code has to say it.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
