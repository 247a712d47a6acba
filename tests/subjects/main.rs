//! Tokens per user and tenant, by the thousand: nothing of one subject reaches another, and idle ones cost nothing.
//! Through the whole stack, in front of a vendor that issues a token per subject and says whose token it was shown.

#![allow(clippy::print_stdout, reason = "a figure is what one of them is for")]

mod crossing;
mod footprint;
mod idle;
mod refused;
mod values;
mod vendor;
mod world;
