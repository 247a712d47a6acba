//! The README and the pages of docs/ say what is so: their commands run, their configs load, their links lead
//! somewhere, and what is generated or listed is complete.
//!
//! `UPDATE_DOCS=1 cargo test --test docs` writes the generated page anew.

mod commands;
mod configs;
mod failures;
mod links;
mod markdown;
mod reference;
