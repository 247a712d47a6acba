//! The state machine that decides what happens next.
