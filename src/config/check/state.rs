//! The state: which store, where it is, and the keys that seal it.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use http::Uri;
use secrecy::SecretString;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::Check;
use crate::config::{
    checked::{Redis, State, Tls},
    node::KeyPath,
    raw::{self, Field, Text},
};

/// The file of the default store.
const STATE_FILE: &str = "state.db";
/// The same beside a config file, where it needs a name of its own.
const STATE_FILE_BESIDE: &str = "bearerd-state.db";

/// A key's text is hashed and not stretched, so it must be as long as what it is to be as hard to guess as: thirty-two
/// characters of base64 are 192 bits.
const KEY_LENGTH: usize = 32;
/// Fewer different characters than these were not drawn at random.
const KEY_VARIETY: usize = 8;

/// How long a connection to a database may take; one that has gone silent is known to be lost within as much again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whoever uses something every day is not idle.
const SHORTEST_FORGET: Duration = Duration::from_secs(24 * 60 * 60);

/// Where Redis listens.
const REDIS_PORT: u16 = 6379;

impl Check<'_> {
    /// The store and its keys.
    pub(super) fn state(
        &self,
        field: &Field<raw::State>,
        common: &Tls,
        files: &[PathBuf],
    ) -> (Option<State>, Vec<SecretString>) {
        let at = KeyPath::of(["state"]);
        let absent = raw::State::default();
        let raw = match field {
            Field::Absent => &absent,
            Field::Given(raw) => raw,
            Field::Faulty => return (None, Vec::new()),
        };
        let keys = self.state_keys(raw, &at);
        let store = match raw.store {
            Field::Absent => raw::Store::Sqlite,
            Field::Given(store) => store,
            Field::Faulty => return (None, keys),
        };
        self.state_keys_belong(store, raw, &at);
        let state = match store {
            raw::Store::Memory => Some(State::Memory),
            raw::Store::Sqlite => self.sqlite(&raw.path, &at, files),
            raw::Store::Postgres => self.postgres(raw, common, &at),
            raw::Store::Redis => self.redis(raw, common, &at),
        };
        (state, keys)
    }

    /// Each setting is of some stores, and a fault on the others.
    fn state_keys_belong(&self, store: raw::Store, raw: &raw::State, at: &KeyPath) {
        use raw::Store::{Memory, Postgres, Redis, Sqlite};
        let servers: &[raw::Store] = &[Postgres, Redis];
        let all = [
            ("path", raw.path.is_absent(), &[Sqlite][..]),
            ("keys", raw.keys.is_absent(), &[Sqlite, Postgres, Redis]),
            ("forget_after", raw.forget_after.is_absent(), &[Sqlite, Postgres, Redis]),
            ("url", raw.url.is_absent(), servers),
            ("password", raw.password.is_absent(), servers),
            ("tls", raw.tls.is_absent(), servers),
            ("insecure", raw.insecure.is_absent(), servers),
            ("username", raw.username.is_absent(), &[Redis]),
            ("accept_loss", raw.accept_loss.is_absent(), &[Redis]),
        ];
        let name = match store {
            Memory => "memory",
            Sqlite => "sqlite",
            Postgres => "postgres",
            Redis => "redis",
        };
        for (key, is_absent, of) in all {
            if !is_absent && !of.contains(&store) {
                let hint = (key == "username" && store == Postgres)
                    .then(|| "the user is part of the url: `postgres://USER@HOST/DATABASE`".into());
                self.fault_at_key(&at.key(key), format!("the store `{name}` has no `{key}`"), hint);
            }
        }
    }

    /// After how long idle subjects are forgotten.
    pub(super) fn forget_after(&self, field: &Field<raw::State>) -> Option<Duration> {
        let span = field.given()?.forget_after.given()?.0;
        if span < SHORTEST_FORGET {
            self.fault(
                &KeyPath::of(["state"]).key("forget_after"),
                "subjects would be forgotten that are in use".into(),
                Some("give a day at least; most give months".into()),
            );
        }
        Some(span)
    }

    fn state_keys(&self, raw: &raw::State, at: &KeyPath) -> Vec<SecretString> {
        let at = at.key("keys");
        let Some(fields) = raw.keys.given() else {
            return Vec::new();
        };
        if fields.is_empty() {
            self.fault(
                &at,
                "there is no key in this list".into(),
                Some("give one, or leave `keys` out to keep tokens as they are".into()),
            );
        }
        let mut keys = Vec::new();
        for (nth, field) in fields.iter().enumerate() {
            let at = at.item(nth);
            let Some(key) = self.text(field, &at) else { continue };
            let mut letters: Vec<char> = key.chars().collect();
            let length = letters.len();
            letters.sort_unstable();
            letters.dedup();
            if length < KEY_LENGTH || letters.len() < KEY_VARIETY {
                self.fault(
                    &at,
                    format!("a key is at least {KEY_LENGTH} characters, drawn at random"),
                    Some("make one with `openssl rand -base64 32`, and keep it in a file".into()),
                );
            }
            keys.push(key.into());
        }
        keys
    }

    fn sqlite(&self, path: &Field<Text>, at: &KeyPath, files: &[PathBuf]) -> Option<State> {
        let path = match path {
            Field::Absent => self.default_state_path(files),
            path => {
                let at = at.key("path");
                let path = self.text(path, &at)?;
                if path.is_empty() {
                    self.fault(&at, "a path is missing".into(), None);
                    return None;
                }
                self.path(&path, &at)
            }
        };
        Some(State::Sqlite { path })
    }

    fn server_url(&self, raw: &raw::State, at: &KeyPath, example: &str) -> Option<String> {
        if raw.url.is_absent() {
            self.fault_at_key(at, "`url` is missing".into(), Some(format!("give one: `{example}`")));
            return None;
        }
        self.text(&raw.url, &at.key("url"))
    }

    fn postgres(&self, raw: &raw::State, common: &Tls, at: &KeyPath) -> Option<State> {
        const EXAMPLE: &str = "postgres://bearerd@db.example/bearerd";
        let url = self.server_url(raw, at, EXAMPLE)?;
        let at_url = at.key("url");
        let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let parsed = url.parse::<tokio_postgres::Config>().ok().filter(|_| is_url);
        let Some(mut server) = parsed else {
            self.fault(
                &at_url,
                "this is to be the url of a PostgreSQL database".into(),
                Some(format!("such as `{EXAMPLE}`; the password stands under `password`")),
            );
            return None;
        };
        if server.get_hosts().is_empty() {
            self.fault(
                &at_url,
                "a host is missing".into(),
                Some(format!(
                    "such as `{EXAMPLE}`, or `postgres:///bearerd?host=/run/postgresql`"
                )),
            );
            return None;
        }
        if server.get_password().is_some() {
            self.fault_password(&at_url);
        }
        if let Some(password) = self.given_text(&raw.password, &at.key("password")) {
            server.password(password);
        }
        let is_near = server.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => is_loopback(name),
            Host::Unix(_) => true,
        });
        let tls = match server.get_ssl_mode() {
            SslMode::Disable => {
                self.guard_plain(is_near, raw, &at_url, "leave `sslmode` out");
                None
            }
            SslMode::Prefer if (is_near || self.flag(&raw.insecure, false)) && raw.tls.is_absent() => None,
            _ => Some(self.tls(&raw.tls, common, &at.key("tls"))),
        };
        // Never "prefer": whoever stands between could say that there is no TLS.
        server.ssl_mode(if tls.is_some() {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        server.application_name("bearerd");
        server
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(CONNECT_TIMEOUT);
        // Of several hosts, the one that takes writes.
        server.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Some(State::Postgres {
            server: Box::new(server),
            tls,
        })
    }

    fn redis(&self, raw: &raw::State, common: &Tls, at: &KeyPath) -> Option<State> {
        const EXAMPLE: &str = "rediss://redis.example:6379/0";
        let url = self.server_url(raw, at, EXAMPLE)?;
        let at_url = at.key("url");
        let wrong = || {
            self.fault(
                &at_url,
                "this is to be the url of a Redis server".into(),
                Some(format!(
                    "such as `{EXAMPLE}` (`redis:` is plain); user and password stand under `username` and `password`"
                )),
            );
        };
        let Some(uri) = url.parse::<Uri>().ok().filter(|uri| uri.query().is_none()) else {
            wrong();
            return None;
        };
        let is_encrypted = match uri.scheme_str() {
            Some("rediss") => true,
            Some("redis") => false,
            _ => {
                wrong();
                return None;
            }
        };
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            self.fault_password(&at_url);
            return None;
        }
        let database = match uri.path().trim_matches('/') {
            "" => Some(0),
            number => number.parse().ok(),
        };
        let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
        let (Some(host), Some(database)) = (host.filter(|host| !host.is_empty()), database) else {
            wrong();
            return None;
        };
        if !is_encrypted {
            self.guard_plain(is_loopback(&host), raw, &at_url, "use `rediss:`");
            if !raw.tls.is_absent() {
                self.fault_at_key(
                    &at.key("tls"),
                    "`redis:` is plain, so there is no TLS to set".into(),
                    Some("let the url begin with `rediss:`".into()),
                );
            }
        }
        Some(State::Redis(Box::new(Redis {
            host,
            port: uri.port_u16().unwrap_or(REDIS_PORT),
            tls: is_encrypted.then(|| self.tls(&raw.tls, common, &at.key("tls"))),
            username: self.given_text(&raw.username, &at.key("username")),
            password: self
                .given_text(&raw.password, &at.key("password"))
                .map(SecretString::from),
            database,
            accept_loss: self.flag(&raw.accept_loss, false),
        })))
    }

    fn given_text(&self, field: &Field<Text>, at: &KeyPath) -> Option<String> {
        (!field.is_absent()).then(|| self.text(field, at)).flatten()
    }

    /// Tokens, and the password, would cross the network in plain text.
    fn guard_plain(&self, is_near: bool, raw: &raw::State, at: &KeyPath, instead: &str) {
        if !is_near && !self.flag(&raw.insecure, false) {
            self.fault(
                at,
                "this server isn't on this host, and the connection would be plain".into(),
                Some(format!("{instead}, or say `insecure: true`")),
            );
        }
    }

    fn fault_password(&self, at: &KeyPath) {
        self.fault(
            at,
            "a password in a url ends up in logs".into(),
            Some("give it as `password`: `\"${file:/run/secrets/…}\"`".into()),
        );
    }

    fn default_state_path(&self, files: &[PathBuf]) -> PathBuf {
        // systemd gives a list where a unit has several directories.
        let directory = self
            .surroundings
            .env
            .get("STATE_DIRECTORY")
            .and_then(|list| list.split(':').next());
        match directory.filter(|directory| !directory.is_empty()) {
            Some(directory) => PathBuf::from(directory).join(STATE_FILE),
            None => files.first().map_or_else(
                || STATE_FILE_BESIDE.into(),
                |file| file.with_file_name(STATE_FILE_BESIDE),
            ),
        }
    }
}

/// Whether a host is this one.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}
