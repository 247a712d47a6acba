//! Real servers for tests: each in a directory of its own, on a free port, gone with its handle.
//!
//! Where a program isn't installed, the test that wants it skips and says so; with `BEARERD_TESTS_DEMAND=1` it fails.

#![allow(dead_code, reason = "not every test file that shares this module uses all of it")]

use std::{
    env, fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// Between two looks at a server that is starting.
const STEP: Duration = Duration::from_millis(20);
/// How many looks: ten seconds in all.
const STEPS: usize = 500;
/// The password of every server here.
pub(crate) const PASSWORD: &str = "canary-of-the-store";

/// A server that runs until this is dropped.
pub(crate) struct Running {
    child: Option<Child>,
    directory: TempDir,
    program: PathBuf,
    arguments: Vec<String>,
    pub(crate) port: u16,
}

impl Running {
    fn start(directory: TempDir, program: PathBuf, arguments: Vec<String>, port: u16) -> Self {
        let mut server = Self {
            child: None,
            directory,
            program,
            arguments,
            port,
        };
        server.up();
        server
    }

    /// Starts it again, on the same port and files.
    pub(crate) fn up(&mut self) {
        self.spawn();
        // Both say so; a port that accepts connections may still refuse whoever has made one.
        let log = self.directory.path().join("log");
        let told = || fs::read_to_string(&log).unwrap_or_default();
        for _ in 0..STEPS {
            if told().to_lowercase().contains("ready to accept connections") {
                return;
            }
            thread::sleep(STEP);
            // While it was down, its port may have become that of somebody's connection, for as long as that lasts.
            let has_ended = matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(Some(_))));
            if has_ended && told().contains("Address already in use") {
                self.spawn();
            }
        }
        panic!("{} did not start:\n{}", self.program.display(), told());
    }

    fn spawn(&mut self) {
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Stops it at once, as a crash does: nothing is written in good order.
    pub(crate) fn down(&mut self) {
        // PostgreSQL takes its children with it, and Redis has none. (QUIT does nothing to a Redis whose parents ran it
        // in a shell's background: there it is ignored, and Redis leaves it at that.)
        let is_redis = self.program.ends_with("redis-server");
        self.signal(if is_redis { "KILL" } else { "QUIT" });
        if let Some(mut child) = self.child.take() {
            for _ in 0..STEPS {
                if matches!(child.try_wait(), Ok(Some(_))) {
                    return;
                }
                thread::sleep(STEP);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal, such as `STOP` or `CONT`. Whatever started it has become it.
    pub(crate) fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let id = child.id().to_string();
            let _ = Command::new("kill").args([&format!("-{name}"), &id]).status();
        }
    }

    /// Its process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.down();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program of this name, in the path or where Debian keeps PostgreSQL's.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = Vec::new();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    places.extend(env::split_paths(&path));
    places
        .into_iter()
        .map(|place| place.join(name))
        .find(|program| program.is_file())
}

fn missing<T>(name: &str) -> Option<T> {
    assert!(
        env::var_os("BEARERD_TESTS_DEMAND").is_none(),
        "{name} is not installed, and BEARERD_TESTS_DEMAND is set"
    );
    let _ = writeln!(std::io::stderr(), "skipped: {name} is not installed");
    None
}

/// A certificate of its own for 127.0.0.1.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) key: String,
    der: rustls_pki_types::CertificateDer<'static>,
}

pub(crate) fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    Certificate {
        pem: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
    }
}

impl Certificate {
    /// What trusts this one and nothing else.
    pub(crate) fn client(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// Files that only their owner may read.
fn place(directory: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
}

/// A Redis server that keeps what it acknowledges, with `settings` after that, in which `{port}` is its port.
pub(crate) fn redis(files: &[(&str, &str)], settings: &[&str]) -> Option<Running> {
    let Some(program) = find("redis-server") else {
        return missing("redis-server");
    };
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut arguments = vec!["--port".to_owned(), port.to_string()];
    let own = "--bind 127.0.0.1 --save  --appendonly yes --appendfsync always --maxmemory-policy noeviction";
    arguments.extend(own.split(' ').map(ToOwned::to_owned));
    arguments.extend(["--requirepass".to_owned(), PASSWORD.to_owned()]);
    let port_of = |setting: &&str| setting.replace("{port}", &port.to_string());
    arguments.extend(settings.iter().map(port_of));
    place(directory.path(), files);
    Some(Running::start(directory, program, arguments, port))
}

/// A PostgreSQL server with the user `bearerd`, and `settings` (`name=value`).
pub(crate) fn postgres(files: &[(&str, &str)], settings: &[&str]) -> Option<Running> {
    let (Some(initdb), Some(program)) = (find("initdb"), find("postgres")) else {
        return missing("postgresql");
    };
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let password = directory.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    // PostgreSQL refuses to run as root; Debian's package brings a user for it.
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let give_away = || {
        if is_root {
            let own = Command::new("chown")
                .args(["-R", "postgres"])
                .arg(directory.path())
                .status();
            assert!(own.unwrap().success(), "there is no user postgres");
        }
    };
    give_away();
    let as_its_user = |program: &Path| -> (PathBuf, Vec<String>) {
        let name = program.display().to_string();
        if is_root {
            let own = "--reuid=postgres --regid=postgres --init-groups --";
            let mut arguments: Vec<String> = own.split(' ').map(ToOwned::to_owned).collect();
            arguments.push(name);
            ("setpriv".into(), arguments)
        } else {
            (name.into(), Vec::new())
        }
    };
    let (runner, mut arguments) = as_its_user(&initdb);
    arguments.extend(["-D".to_owned(), data.display().to_string()]);
    arguments.extend(["--pwfile".to_owned(), password.display().to_string()]);
    let own = "-U bearerd -A scram-sha-256 -E UTF8 --no-locale --no-sync";
    arguments.extend(own.split(' ').map(ToOwned::to_owned));
    let made = Command::new(runner)
        .args(arguments)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    place(&data, files);
    give_away();
    let port = free_port();
    let (runner, mut arguments) = as_its_user(&program);
    arguments.extend(["-D".to_owned(), data.display().to_string()]);
    let own = ["listen_addresses=127.0.0.1", "unix_socket_directories="];
    let port_setting = format!("port={port}");
    for setting in own
        .into_iter()
        .chain([port_setting.as_str()])
        .chain(settings.iter().copied())
    {
        arguments.extend(["-c".to_owned(), setting.to_owned()]);
    }
    let server = Running::start(directory, runner, arguments, port);
    Some(server)
}
