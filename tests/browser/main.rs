//! What a page in a real browser can do to bearerd on the same machine: nothing, unless it came through bearerd.

#![allow(clippy::print_stdout, reason = "a skipped test says why")]

mod attacks;
mod chromium;
mod page;
mod world;
