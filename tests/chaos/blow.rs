//! What can happen to a process at a point.

use crate::point::Point;

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, until the test resumes it.
    Stop,
    /// It stands still, until the test resumes it.
    Pause,
    /// The store can't be reached, until the test mends it. After a verb: what it did is not acknowledged.
    Cut,
    /// The verb, or its answer, takes longer than a lease.
    Delay,
}

impl Blow {
    const ALL: [(Self, &str); 5] = [
        (Self::Kill, "kill"),
        (Self::Stop, "stop"),
        (Self::Pause, "pause"),
        (Self::Cut, "cut"),
        (Self::Delay, "delay"),
    ];

    pub(crate) fn word(self) -> &'static str {
        let mut known = Self::ALL.into_iter();
        known.find(|(blow, _)| *blow == self).map_or("", |(_, word)| word)
    }

    /// A blow and its point, as `kill claimed`.
    pub(crate) fn of(words: &str) -> Option<(Self, Point)> {
        let (word, point) = words.split_once(' ')?;
        let (blow, _) = Self::ALL.into_iter().find(|(_, known)| *known == word)?;
        Some((blow, Point::of(point)?))
    }
}
