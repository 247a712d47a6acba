//! How a command fails: exit codes after sysexits(3).

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// It could not be done.
const FAILED: u8 = 1;
/// Wrong usage of the command line (EX_USAGE).
pub(super) const USAGE: u8 = 64;
/// A config that can't be used (EX_CONFIG).
const CONFIG: u8 = 78;

/// Every exit code that there is.
pub const EXIT_CODES: [u8; 4] = [0, FAILED, USAGE, CONFIG];

/// Why a command failed, and with which exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It could not be done: 1. A sentence that says what to do next.
    #[error("{0}")]
    Failed(String),
    /// It was asked for in the wrong way: 64.
    #[error("{0}")]
    Usage(String),
    /// The config has faults, one a line: 78.
    #[error("{0}")]
    Config(String),
    /// Whoever read the output is gone, as `head` is: 1, without a word.
    #[error("nobody reads the output")]
    Unread,
}

impl Failure {
    /// A failure in these words.
    pub(super) fn failed(text: impl ToString) -> Self {
        Self::Failed(text.to_string())
    }

    /// Says so, and returns the exit code.
    pub(super) fn report(&self, errors: &mut dyn Write) -> ExitCode {
        let said = match self {
            // Each fault begins with its file, as editors expect.
            Self::Config(faults) => writeln!(errors, "{faults}"),
            Self::Failed(text) | Self::Usage(text) => writeln!(errors, "bearerd: {text}"),
            Self::Unread => Ok(()),
        };
        // Nowhere is left to complain.
        let _ = said;
        match self {
            Self::Failed(_) | Self::Unread => ExitCode::from(FAILED),
            Self::Usage(_) => ExitCode::from(USAGE),
            Self::Config(_) => ExitCode::from(CONFIG),
        }
    }
}

impl From<io::Error> for Failure {
    /// Of writing to standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Failed(format!("standard output can't be written: {error}")),
        }
    }
}
