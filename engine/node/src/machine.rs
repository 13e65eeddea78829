//! Running programs.
//!
//! The text goes in by standard input and what comes out is read whole. Arguments are fixed words; nothing passes
//! through a shell.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use crate::ToolError;

/// Where programs run: in this process's network namespace, or in a named one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    netns: Option<String>,
}

impl Machine {
    /// Programs are run by `ip netns exec`.
    pub(crate) fn netns(name: &str) -> Self {
        Self {
            netns: Some(name.to_owned()),
        }
    }

    /// The namespace's name.
    pub(crate) fn netns_name(&self) -> Option<&str> {
        self.netns.as_deref()
    }

    /// What a program printed.
    ///
    /// # Errors
    /// When it cannot be run, or fails.
    pub(crate) fn run(
        &self,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, ToolError> {
        let output = feed(self.command(program, arguments), input)
            .map_err(|error| ToolError::from_io(program, &error))?;
        if !output.status.success() {
            return Err(ToolError::from_exit(program, output.status, &output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = match &self.netns {
            None => Command::new(program),
            Some(netns) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", netns, program]);
                command
            }
        };
        // Failures are told by their words, so these must not be translated.
        command.args(arguments).env("LC_ALL", "C");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// The tools print nothing before they have read all, or have given up: writing first cannot block for ever.
fn feed(mut command: Command, input: &str) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let mut stdin = child
        .stdin
        .take()
        .expect("standard input was asked to be a pipe");
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    // A tool that gave up early says why itself.
    if output.status.success() {
        written?;
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = Machine::default()
            .run("switchboard-no-such-tool", &[], "")
            .unwrap_err();
        assert_eq!(
            error,
            ToolError::NotFound {
                tool: "switchboard-no-such-tool".to_owned()
            }
        );
    }

    #[test]
    fn input_that_nobody_reads_is_no_failure() {
        let unread = "x".repeat(1 << 20);
        let error = Machine::default().run("false", &[], &unread).unwrap_err();
        assert_eq!(error.to_string(), "false failed: exit status: 1");
    }
}
