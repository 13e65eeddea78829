//! What is common to everything that is printed.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

/// Whether to use colour: on a terminal, unless `NO_COLOR` says otherwise.
pub(crate) fn colour() -> bool {
    let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    wanted && io::stdout().is_terminal()
}

/// Prints a text. A reader that goes away early (`| head`) is no error.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
