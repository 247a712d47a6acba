//! Listeners, probes and admin; the log.

use std::{collections::BTreeMap, io, net::SocketAddr, path::PathBuf};

use super::{Check, entries};
use crate::{
    config::{
        checked::{Access, Bind, Listener, Log, LogFormat},
        node::KeyPath,
        raw::{self, Entries, Field, Text},
    },
    log::filter,
    name::ListenerName,
};

/// Whether one of these addresses can't be bound once the other is.
fn overlap(one: &Bind, other: &Bind) -> bool {
    match (one, other) {
        (Bind::Tcp(one), Bind::Tcp(other)) => {
            let all_of =
                |one: &SocketAddr, other: &SocketAddr| one.ip().is_unspecified() && one.is_ipv4() == other.is_ipv4();
            // Each port 0 is a free one of its own.
            one.port() == other.port()
                && one.port() != 0
                && (one.ip() == other.ip() || all_of(one, other) || all_of(other, one))
        }
        (one, other) => one == other,
    }
}

impl Check<'_> {
    /// An address to bind; `expose` is whether it may be reached from elsewhere.
    fn bind(&self, field: &Field<Text>, at: &KeyPath) -> Option<Bind> {
        if field.is_absent() {
            self.fault_at_key(
                at,
                "`bind` is missing".into(),
                Some("give an address: `127.0.0.1:8080` or `unix:/run/bearerd/main.sock`".into()),
            );
            return None;
        }
        let at = at.key("bind");
        let text = self.text(field, &at)?;
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                self.fault(&at, "the path of a Unix socket is missing after `unix:`".into(), None);
                return None;
            }
            return Some(Bind::Unix(self.path(path, &at)));
        }
        // `localhost` may be any address that a resolver says, so it is taken for what everybody means by it.
        let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        match address.as_deref().unwrap_or(&text).parse::<SocketAddr>() {
            Ok(address) => Some(Bind::Tcp(address)),
            Err(_) => {
                self.fault(
                    &at,
                    "this is to be an address and a port".into(),
                    Some("such as `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/bearerd/main.sock`".into()),
                );
                None
            }
        }
    }

    fn guard_bind(&self, bind: &Bind, expose: bool, hint: &str, at: &KeyPath) {
        if let Bind::Tcp(address) = bind
            && !address.ip().to_canonical().is_loopback()
            && !expose
        {
            self.fault(
                &at.key("bind"),
                "this address is not loopback, so others than this host could use the credentials".into(),
                Some(hint.into()),
            );
        }
    }

    /// Who may connect to a Unix socket.
    fn access(&self, raw: &raw::Listener, bind: Option<&Bind>, at: &KeyPath) -> Access {
        let given = [("mode", &raw.mode), ("owner", &raw.owner), ("group", &raw.group)];
        if matches!(bind, Some(Bind::Tcp(_)))
            && let Some((name, _)) = given.iter().find(|(_, field)| !field.is_absent())
        {
            self.fault_at_key(
                &at.key(name),
                "only a Unix socket has a mode and an owner".into(),
                Some("bind the listener to one: `unix:/run/bearerd/main.sock`".into()),
            );
            return Access::default();
        }
        let mode = match &raw.mode {
            Field::Absent => None,
            field => self.mode(field, &at.key("mode")),
        };
        let id = |field: &Field<Text>, id: &dyn Fn(&Field<Text>) -> Option<u32>| match field {
            Field::Absent => None,
            field => id(field),
        };
        Access {
            mode: mode.unwrap_or(Access::default().mode),
            owner: id(&raw.owner, &|field| self.user_id(field, &at.key("owner"))),
            group: id(&raw.group, &|field| self.group_id(field, &at.key("group"))),
        }
    }

    fn mode(&self, field: &Field<Text>, at: &KeyPath) -> Option<u32> {
        let text = self.text(field, at)?;
        let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = u32::from_str_radix(&text, 8)
            .ok()
            .filter(|mode| is_octal && *mode <= 0o777);
        if mode.is_none() {
            self.fault(
                at,
                "this is no mode of a file in octal digits".into(),
                Some("such as `0660`: the owner and the group may connect".into()),
            );
        }
        mode
    }

    pub(super) fn listeners(&self, section: &Field<Entries<raw::Listener>>) -> BTreeMap<ListenerName, Listener> {
        let mut listeners = BTreeMap::new();
        if entries(section).is_empty() {
            if let Ok(name) = "main".parse() {
                listeners.insert(name, Listener::at(Bind::Tcp(([127, 0, 0, 1], 8080).into())));
            }
            return listeners;
        }
        for (name, raw) in entries(section) {
            let at = KeyPath::of(["listeners", name.as_str()]);
            let name = self.name(name, &at);
            let bind = self.bind(&raw.bind, &at);
            let expose = self.flag(&raw.expose, false);
            let tls = raw.tls.given().map(|raw| self.listener_tls(raw, &at.key("tls")));
            let callers = self.callers(raw, bind.as_ref(), tls.as_ref().and_then(Option::as_ref), &at);
            // Those that could not be read are at fault themselves.
            let asks_for_certificates = raw.tls.given().is_some_and(|tls| !tls.client_ca.is_absent());
            let knows_callers = !raw.callers.is_absent() || asks_for_certificates;
            if let Some(bind) = &bind {
                self.guard_bind(
                    bind,
                    expose || knows_callers,
                    "bind to 127.0.0.1, name who may call under `callers`, or say `expose: true`",
                    &at,
                );
            }
            let access = self.access(raw, bind.as_ref(), &at);
            let hosts = raw.hosts.given().map_or(&[][..], |hosts| hosts);
            let hosts = hosts.iter().enumerate();
            let hosts = hosts
                .filter_map(|(nth, host)| self.host(host, &at.key("hosts").item(nth)))
                .collect();
            if let (Some(name), Some(bind)) = (name, bind) {
                let listener = Listener {
                    bind,
                    access,
                    hosts,
                    expose,
                    title_case_headers: self.flag(&raw.title_case_headers, false),
                    tls: tls.flatten(),
                    callers,
                };
                listeners.insert(name, listener);
            }
        }
        listeners
    }

    /// No two that listen can have one address.
    pub(super) fn guard_twice(
        &self,
        listeners: &BTreeMap<ListenerName, Listener>,
        probes: Option<&Bind>,
        admin: Option<&Bind>,
    ) {
        let of_listener = |(name, listener): (&ListenerName, &'_ Listener)| {
            let at = KeyPath::of(["listeners", name.as_str(), "bind"]);
            (format!("listener `{name}` has"), listener.bind.clone(), at)
        };
        let mut all: Vec<_> = listeners.iter().map(of_listener).collect();
        for (name, bind) in [("probes", probes), ("admin", admin)] {
            let words = match name {
                "probes" => "the probes have",
                _ => "the admin listener has",
            };
            all.extend(bind.map(|bind| (words.to_owned(), bind.clone(), KeyPath::of([name, "bind"]))));
        }
        for (nth, (_, bind, at)) in all.iter().enumerate() {
            if let Some((other, _, _)) = all[..nth].iter().find(|(_, other, _)| overlap(bind, other)) {
                self.fault(
                    at,
                    format!("{other} this address too"),
                    Some("give each an address of its own".into()),
                );
            }
        }
    }

    pub(in crate::config) fn probes(&self, field: &Field<raw::Probes>) -> Option<Bind> {
        let raw = field.given()?;
        let at = KeyPath::of(["probes"]);
        let bind = self.bind(&raw.bind, &at)?;
        let expose = self.flag(&raw.expose, false);
        self.guard_bind(&bind, expose, "bind to 127.0.0.1, or say `expose: true`", &at);
        Some(bind)
    }

    pub(in crate::config) fn admin(&self, field: &Field<raw::Admin>) -> Option<Bind> {
        let raw = field.given()?;
        let at = KeyPath::of(["admin"]);
        let bind = self.bind(&raw.bind, &at)?;
        if let Bind::Tcp(address) = bind
            && !address.ip().to_canonical().is_loopback()
        {
            self.fault(
                &at.key("bind"),
                "the admin listener is never exposed, and this address is not loopback".into(),
                Some("bind it to 127.0.0.1 or to a Unix socket".into()),
            );
        }
        Some(bind)
    }

    pub(super) fn flag(&self, field: &Field<bool>, default: bool) -> bool {
        field.given().copied().unwrap_or(default)
    }

    /// A host's name, in lower case, without port.
    pub(super) fn host(&self, field: &Field<Text>, at: &KeyPath) -> Option<String> {
        let host = self.text(field, at)?.to_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let address = bracketed.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        if !address && (host.is_empty() || !host.chars().all(plain)) {
            self.fault(at, "this is to be the name of a host, without a port".into(), None);
            return None;
        }
        Some(host)
    }

    pub(super) fn log(&self, field: &Field<raw::Log>) -> Option<Log> {
        let at = KeyPath::of(["log"]);
        let absent = raw::Log::default();
        let raw = match field {
            Field::Absent => &absent,
            Field::Given(raw) => raw,
            Field::Faulty => return None,
        };
        let level = match &raw.level {
            Field::Absent => Some("info".to_owned()),
            level => self.level(level, &at.key("level")),
        };
        let file = match &raw.file {
            Field::Absent => Some(None),
            file => self.log_file(file, &at.key("file")).map(Some),
        };
        Some(Log {
            format: raw.format.given().map(|format| match format {
                raw::LogFormat::Json => LogFormat::Json,
                raw::LogFormat::Text => LogFormat::Text,
            }),
            level: level?,
            file: file?,
            access: self.flag(&raw.access, true),
        })
    }

    fn level(&self, field: &Field<Text>, at: &KeyPath) -> Option<String> {
        let level = self.text(field, at)?;
        if filter::capped(&level, true).is_err() || level.is_empty() {
            self.fault(
                at,
                "this is to be a level or a filter".into(),
                Some("such as `info`, or `info,bearerd::proxy=debug`".into()),
            );
            return None;
        }
        Some(level)
    }

    /// A file to log to. It is made when the log is started; the directory that it is to be in must be there.
    fn log_file(&self, field: &Field<Text>, at: &KeyPath) -> Option<PathBuf> {
        let text = self.text(field, at)?;
        let path = self.path(&text, at);
        let fault = |message: String, hint: &str| {
            self.fault(at, message, Some(hint.to_owned()));
            None
        };
        if text.is_empty() || text.ends_with('/') || path.file_name().is_none() {
            return fault(
                "this is to be the path of a file".into(),
                "leave it away to log to standard error",
            );
        }
        let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) else {
            return Some(path);
        };
        // A directory that is there can't be read as a file, and says so.
        match (self.surroundings.read)(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fault(
                format!("there is no directory {}", directory.display()),
                "make it, or name another file",
            ),
            Err(error) if error.kind() != io::ErrorKind::NotADirectory => Some(path),
            _ => fault(
                format!("{} is not a directory", directory.display()),
                "name another file",
            ),
        }
    }
}
