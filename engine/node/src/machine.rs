//! Running programs.
//!
//! The text goes in by standard input and what comes out is read whole. Arguments are fixed words; nothing passes
//! through a shell.
//!
//! A program has the whole text before it starts: if this process is killed, no program takes the half of a script that it
//! has read for all of it, and does that.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::ToolError;

/// Whoever runs programs in the place of this machine, such as a test.
pub trait Programs: fmt::Debug + Send + Sync {
    /// Runs a program with a text as its standard input, to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> io::Result<Output>;
}

/// Where programs run: in this process's network namespace, in a named one, or elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    netns: Option<String>,
    programs: Option<Arc<dyn Programs>>,
}

impl Machine {
    /// Programs are run by `ip netns exec`.
    pub(crate) fn netns(name: &str) -> Self {
        Self {
            netns: Some(name.to_owned()),
            programs: None,
        }
    }

    /// Programs are run by somebody else.
    pub(crate) fn by(programs: Arc<dyn Programs>) -> Self {
        Self {
            netns: None,
            programs: Some(programs),
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
        let output = self.output(program, arguments, input)?;
        if !output.status.success() {
            return Err(ToolError::from_exit(program, output.status, &output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a program that goes on after what it could not do, so that its words tell of it, and not its exit code.
    ///
    /// # Errors
    /// When it cannot be run, or complains of anything.
    pub(crate) fn run_quiet(
        &self,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<(), ToolError> {
        let output = self.output(program, arguments, input)?;
        match output.status.success() && output.stderr.trim_ascii().is_empty() {
            true => Ok(()),
            false => Err(ToolError::from_exit(program, output.status, &output.stderr)),
        }
    }

    fn output(&self, program: &str, arguments: &[&str], input: &str) -> Result<Output, ToolError> {
        let output = match &self.programs {
            Some(programs) => programs.run(program, arguments, input),
            None => feed(self.command(program, arguments), input),
        };
        output.map_err(|error| ToolError::from_io(program, &error))
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
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn feed(mut command: Command, input: &str) -> io::Result<Output> {
    let mut text = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    text.write_all(input.as_bytes())?;
    text.rewind()?;
    command.stdin(text).output()
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
