//! The process: one crypto provider, a word for panics, then the command.

use std::{io::Write, panic, process::ExitCode};

/// Its fast path stays short however many requests are under way.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // First of all: rustls panics where two providers are compiled in and none is installed. It can only fail when
    // one is installed already, and nothing has run before this.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // A panic's words may quote what it worked on, so only those that are fixed in the code are told.
    panic::set_hook(Box::new(|panic| {
        let words = panic
            .payload()
            .downcast_ref::<&'static str>()
            .unwrap_or(&"(words withheld)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // There is nobody left to tell if this can't be written.
        let _ = writeln!(
            std::io::stderr(),
            "bearerd: a fault in bearerd itself at {place}: {words}; please report it"
        );
    }));
    bearerd::cli::main(std::env::args_os())
}
