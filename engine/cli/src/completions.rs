//! `switchboard completions`

use clap::CommandFactory as _;
use clap_complete::generate;
use miette::Report;

use crate::args::{Args, CompletionsArgs};
use crate::{Exit, output};

/// Prints a script that a shell loads to complete our command lines.
pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit, Report> {
    let mut script = Vec::new();
    let mut command = Args::command();
    generate(args.shell, &mut command, "switchboard", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Passed)
}
