//! A terminal that doesn't show what is typed.

use std::io;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use super::INTERRUPT;

/// Hides what is typed until it is dropped.
pub(super) struct NoEcho(Termios);

impl NoEcho {
    pub(super) fn start() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        // Control-C would end the process with the terminal still hiding: here it ends the line instead.
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        hidden.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // Nothing better can be done than to have tried.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
