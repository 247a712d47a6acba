//! What ends the program where there are no signals: Control-C. Nothing asks for the config to be read again; it is
//! watched all the same.

use std::{future::pending, io};

/// Listens for Control-C.
#[derive(Debug)]
pub struct Signals;

impl Signals {
    /// Starts listening.
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next one and returns its name.
    pub async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Control-C",
            // It can't be had, so it never comes.
            Err(_) => pending().await,
        }
    }
}

/// Never hears anything.
#[derive(Debug)]
pub struct Hangups;

impl Hangups {
    /// Starts nothing.
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for ever.
    pub async fn next(&mut self) {
        pending().await
    }
}
