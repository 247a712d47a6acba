//! The process: one crypto provider, then the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: rustls panics where two providers are compiled in and none is installed. It can only fail when
    // one is installed already, and nothing has run before this.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    bearerd::cli::main(std::env::args_os())
}
