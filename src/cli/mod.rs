//! The commands.
//!
//! Each has a file of its own, with its arguments and what it does. What a command says goes to standard output;
//! what went wrong goes to standard error, and the exit code says which kind of wrong it was ([`Failure`]).

mod ask;
mod call;
mod check;
mod demo;
mod doctor;
mod failure;
#[cfg(test)]
mod fixture;
mod health;
mod init;
mod load;
mod log;
mod login;
mod manual;
mod presets;
mod run;
mod state;
mod status;
mod table;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

pub use failure::{EXIT_CODES, Failure};

/// An authenticating reverse proxy and sidecar: it signs in to APIs for software that can't.
///
/// Without a command it runs the proxy. `bearerd demo` shows it with nothing to configure; `bearerd init` writes a
/// config to start from.
#[derive(Debug, Parser)]
#[command(
    name = "bearerd",
    version,
    max_term_width = 100,
    subcommand_help_heading = "Commands"
)]
struct Arguments {
    /// A config file; given several times, each is laid over the ones before. Without it: $BEARERD_CONFIG,
    /// ./bearerd.yaml, /etc/bearerd/bearerd.yaml
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy (the default)
    Run,
    /// Show every fault of the config, or the routes as they resolve
    Check,
    /// Ask the running bearerd whether it is ready: for container health checks
    Health,
    /// Show the running bearerd's credentials and what to do about them
    Status(status::Options),
    /// Look at everything that credentials need: store, connections, certificates, clocks; spends nothing
    Doctor(doctor::Options),
    /// List what is built in, or show one preset with its parameters
    Presets(presets::Options),
    /// Print a commented config to start from
    Init(init::Options),
    /// Sign in by hand, or run a vendor's own step, through the running bearerd
    Login(login::Options),
    /// Show what the running bearerd logs, or change it until its end
    Log(log::Options),
    /// Copy chains from one store to another
    State(state::Options),
    /// Run emulated APIs and the proxy on this machine, with nothing to configure
    Demo(demo::Options),
    /// Print a script that completes bearerd's arguments in a shell
    Completions(manual::Completions),
    /// Print the man page, or write one for each command
    Man(manual::Man),
}

/// Runs the command that these arguments name, program name first, and says how it went.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return said_by_clap(&error),
    };
    let mut output = io::stdout().lock();
    let outcome = dispatch(arguments, &mut output).and_then(|()| Ok(output.flush()?));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&mut io::stderr().lock()),
    }
}

fn dispatch(arguments: Arguments, output: &mut dyn Write) -> Result<(), Failure> {
    let files = &arguments.config;
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::execute(files),
        Command::Check => check::execute(files, output),
        Command::Health => health::execute(files, output),
        Command::Status(options) => status::execute(&options, files, output),
        Command::Doctor(options) => doctor::execute(&options, files, output),
        Command::Presets(options) => presets::execute(&options, output),
        Command::Init(options) => init::execute(&options, output),
        Command::Login(options) => login::execute(&options, files, output),
        Command::Log(options) => log::execute(&options, files, output),
        Command::State(options) => state::execute(&options, output),
        Command::Demo(options) => demo::execute(&options, output),
        Command::Completions(options) => manual::completions(&options, output),
        Command::Man(options) => manual::man(&options, output),
    }
}

/// Help and version are answers; everything else that clap says is about wrong usage.
fn said_by_clap(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        return Failure::Usage(text.into()).report(&mut io::stderr().lock());
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::from(error).report(&mut io::stderr().lock()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_config_may_stand_before_or_after_the_command() {
        for line in [
            ["bearerd", "--config", "a", "check", "--config", "b"].as_slice(),
            &["bearerd", "check", "--config", "a", "--config", "b"],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert!(matches!(arguments.command, Some(Command::Check)));
        }
        let bare = Arguments::try_parse_from(["bearerd", "--config", "a", "--config", "b"]).unwrap();
        assert_eq!(bare.config, [PathBuf::from("a"), PathBuf::from("b")]);
        assert!(bare.command.is_none());
    }
}
