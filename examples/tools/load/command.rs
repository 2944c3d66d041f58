//! The command line: a run, or one of the commands.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use crate::client::failure::finish;
use crate::compare::{self, Compare};
use crate::find::{self, Find};
use crate::options::Cli;
use crate::run;

/// What the command line asks for.
enum Asked {
    Run(Cli),
    Find(Find),
    Compare(Compare),
}

/// Does what the command line asks for. Ends the process if it is wrong, or asks for help.
pub(crate) fn obey() -> ExitCode {
    let mut command = command();
    let matches = command.get_matches_mut();
    let checked = asked(&matches).and_then(|asked| {
        let problem = match &asked {
            Asked::Run(cli) => cli.problem_of_a_run(),
            Asked::Find(find) => find.problem(),
            Asked::Compare(_) => None,
        };
        problem.map_or(Ok(asked), |problem| Err(command.error(ErrorKind::ArgumentConflict, problem)))
    });
    match checked {
        Ok(Asked::Run(cli)) => finish(run(&cli)),
        Ok(Asked::Find(find)) => finish(find::run(find)),
        Ok(Asked::Compare(compare)) => finish(compare::run(&compare)),
        Err(error) => error.exit(),
    }
}

/// A run needs no command, so that `load sum URL` is enough.
fn command() -> Command {
    Cli::command()
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .subcommand(Find::command())
        .subcommand(Compare::command())
}

fn asked(matches: &ArgMatches) -> Result<Asked, clap::Error> {
    match matches.subcommand() {
        Some(("find", matches)) => Find::from_arg_matches(matches).map(Asked::Find),
        Some(("compare", matches)) => Compare::from_arg_matches(matches).map(Asked::Compare),
        _ => Cli::from_arg_matches(matches).map(|mut cli| {
            cli.rate = cli.rate.or_else(|| Some(cli.ramp.as_ref()?.to));
            cli.connections = cli.ramp_connections.as_ref().map_or(cli.connections, |ramp| ramp.to);
            Asked::Run(cli)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_has_no_contradiction() {
        command().debug_assert();
    }
}
