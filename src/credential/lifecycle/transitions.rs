//! What each event does to the machine.

use super::{Event, Lifecycle, Note, state::Phase};
use crate::clock::Now;

impl Lifecycle {
    /// Takes in what happened; returns what is worth a log line.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Note> {
        let mut notes = Vec::new();
        match event {
            Event::Tick => {}
            Event::Wanted => self.wanted = true,
            Event::Used => self.used = true,
            Event::Forced => self.forced = true,
            Event::Changed => self.look_now(now),
            Event::Rejected(position) => self.rejected(position, false, now, &mut notes),
            Event::RejectedAgain(position) => self.rejected(position, true, now, &mut notes),
            Event::Accepted(position) => self.accepted(position),
            Event::SignedIn(record) => {
                self.pause = None;
                self.cooldown = None;
                self.look_again = None;
                self.adopt(Some(record), now, &mut notes);
                if matches!(
                    self.phase,
                    Phase::Holding { .. } | Phase::Loading | Phase::Yielding { .. }
                ) {
                    self.phase = Phase::Resting;
                }
            }
            Event::Loaded(answer) => self.loaded(answer, now, &mut notes),
            Event::Seeded(answer) => self.seeded(answer, now, &mut notes),
            Event::Connected => self.connected(),
            Event::NeverLeft(why) => self.never_left(why, now, &mut notes),
            Event::Claimed(answer) => self.claimed(answer, now, &mut notes),
            Event::Checked(answer) => self.checked(answer, now, &mut notes),
            Event::Answered(outcome) => self.answered(outcome, now, &mut notes),
            Event::Committed(answer) => self.committed(answer, now, &mut notes),
            Event::Released(answer) => self.released(answer, now, &mut notes),
            Event::MarkedDead(answer) => self.marked_dead(answer, now, &mut notes),
        }
        self.settle(now, &mut notes);
        self.tell_of_end(now, &mut notes);
        notes
    }
}
