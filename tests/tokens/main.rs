//! The whole program against the emulated APIs: what becomes of tokens, counted where they are issued.
//!
//! Each test is named after the law or the row of the spend protocol that it keeps (docs/protocol.md).

mod client;
mod doubt;
mod ends;
mod faulty_store;
mod held_token;
mod lifetimes;
mod many_callers;
mod odd_replies;
mod outcomes;
mod refusals;
mod rejections;
mod restart;
mod rolling;
mod seeds;
mod stage;
mod store_trouble;
mod subjects;
mod two_programs;
