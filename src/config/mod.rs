//! What the operator wrote, read whole and checked before anything is bound.

pub mod checked;
