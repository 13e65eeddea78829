//! The `switchboard` command: arguments, files, rendering, exit codes.
//!
//! **What.** Reads files, builds a simulated cluster, replays a scenario, and prints what came of it. **Why.** All
//! I/O of the simulator is in this crate; everything below it is pure. **Source of the semantics.** The command
//! line's contract: exit code 0 when all passed, 1 when an expectation failed or an object is not there, 2 for bad input, output that
//! cannot be written, or a kernel that cannot be programmed, 3 where `explain` cannot tell, 70 for a defect of ours.

mod args;
mod completions;
mod dump;
mod explain;
mod get;
mod input;
mod jobs;
mod manifests;
mod matrix;
mod node;
mod output;
mod progress;
mod resolve;
mod rules;
mod run;
mod schema;
mod snippet;
mod step;
mod trace;
mod update;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

/// What a run of the command comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Passed,
    Failed,
    BadInput,
    CannotTell,
    Bug,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Passed => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::CannotTell => 3,
            Exit::Bug => 70,
        })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = std::panic::catch_unwind(|| match &args.command {
        Command::Run(run) => run::run(run),
        Command::Rules(rules) => rules::run(rules),
        Command::Trace(trace) => trace::run(trace),
        Command::Resolve(resolve) => resolve::run(resolve),
        Command::Get(get) => get::get(get),
        Command::Describe(describe) => get::describe(describe),
        Command::Explain(explain) => explain::run(explain),
        Command::Matrix(matrix) => matrix::run(matrix),
        Command::Node(args) => node::run(args),
        Command::Step(args) => step::run(args),
        Command::Schema => schema::run(),
        Command::Completions(args) => completions::run(args),
    });
    let exit = match outcome {
        Ok(Ok(exit)) => exit,
        Ok(Err(report)) => {
            output::complain(&format!("{report:?}"));
            Exit::BadInput
        }
        Err(_) => {
            output::complain(
                "this is a defect of switchboard, not of your input: please report it",
            );
            Exit::Bug
        }
    };
    exit.into()
}
