//! A headless Chromium.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A running browser with a new profile; killed when it is dropped.
pub(crate) struct Chromium {
    pub(crate) process: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Starts one by the command that is made of its name, with these arguments beside those that keep it to itself.
    /// `None`, and a printed reason, where no browser is installed.
    pub(crate) fn start(command: impl FnOnce(&str) -> Command, arguments: &[&str]) -> Option<Self> {
        let Some(program) = PROGRAMS.into_iter().find(|program| is_there(program)) else {
            assert!(
                std::env::var_os("BEARERD_TESTS_DEMAND").is_none(),
                "no browser is installed, and BEARERD_TESTS_DEMAND asks for one"
            );
            println!("skipped: none of {PROGRAMS:?} is installed");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let process = command(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--no-proxy-server",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .spawn()
            .unwrap();
        Some(Self {
            process,
            _profile: profile,
        })
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn is_there(program: &str) -> bool {
    let asked = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}
