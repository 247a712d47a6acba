//! From what is written to what is meant: every value parsed, every reference resolved, every fault written down.

mod body;
mod browser;
mod callers;
mod credential;
mod fingerprint;
mod grant;
mod grants;
mod headers;
mod limits;
mod listen;
mod placement;
mod policy;
mod proxy;
mod reply;
mod request;
mod route;
mod state;
mod stray;
mod subject;
mod ties;
mod tls;
mod traces;
mod upstream;
mod url;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::{
    checked,
    fault::{Fault, Origin},
    load::Surroundings,
    node::{Index, KeyPath},
    raw::{self, Entries, Field, Text},
    resolve::AT_LOAD,
};
use crate::{
    credential::Spec,
    name::{CredentialName, NameError},
};

/// What is in a file, or why it can't be read.
type Content = Result<Zeroizing<Vec<u8>>, String>;

/// What checking needs and what it finds.
pub(super) struct Check<'a> {
    /// Whether variables and files are left alone, and something stands in for what they hold: enough to know what a
    /// config asks for, and of no use for running it.
    pub(super) blind: bool,
    pub(super) index: &'a Index,
    pub(super) surroundings: &'a Surroundings,
    faults: RefCell<Vec<Fault>>,
    /// What could not be read at all: whatever is missing under it follows from that.
    unread: BTreeSet<KeyPath>,
    warnings: RefCell<Vec<Fault>>,
    /// Every file that the config names; read once, so that one load sees one content.
    files: RefCell<BTreeMap<PathBuf, Content>>,
    /// Every environment variable that the config names.
    pub(super) variables: RefCell<BTreeSet<String>>,
}

impl<'a> Check<'a> {
    pub(super) fn new(index: &'a Index, surroundings: &'a Surroundings, faults: Vec<Fault>) -> Self {
        Self {
            blind: false,
            index,
            surroundings,
            unread: faults.iter().map(|fault| fault.path.clone()).collect(),
            faults: RefCell::new(faults),
            warnings: RefCell::default(),
            files: RefCell::default(),
            variables: RefCell::default(),
        }
    }

    /// The faults, the warnings and the files that were named.
    pub(super) fn finish(self) -> (Vec<Fault>, Vec<Fault>, Vec<PathBuf>) {
        let files = self.files.into_inner().into_keys().collect();
        (self.faults.into_inner(), self.warnings.into_inner(), files)
    }

    /// Something is wrong with a value.
    pub(super) fn fault(&self, at: &KeyPath, message: String, hint: Option<String>) {
        self.note(self.index.value(at), at, message, hint);
    }

    /// Something is wrong with a key: it is unknown, or something is missing under it.
    pub(super) fn fault_at_key(&self, at: &KeyPath, message: String, hint: Option<String>) {
        self.note(self.index.key(at), at, message, hint);
    }

    fn note(&self, origin: Origin, at: &KeyPath, message: String, hint: Option<String>) {
        if !self.unread.contains(at) {
            self.faults.borrow_mut().push(Fault {
                origin,
                path: at.clone(),
                message,
                hint,
            });
        }
    }

    fn warn(&self, at: &KeyPath, message: &str, hint: &str) {
        self.warnings.borrow_mut().push(Fault {
            origin: self.index.key(at),
            path: at.clone(),
            message: message.into(),
            hint: Some(hint.into()),
        });
    }

    /// Reads a file that the config names; a relative path is beside the config file that names it.
    pub(super) fn read_file(&self, name: &str, at: &KeyPath) -> Option<(PathBuf, Zeroizing<Vec<u8>>)> {
        let path = self.path(name, at);
        let read = || match (self.surroundings.read)(&path) {
            Ok(bytes) => Ok(Zeroizing::new(bytes)),
            Err(error) => Err(error.to_string()),
        };
        let content = self.files.borrow_mut().entry(path.clone()).or_insert_with(read).clone();
        match content {
            Ok(bytes) => Some((path, bytes)),
            Err(why) => {
                self.fault(
                    at,
                    format!("the file {} can't be read: {why}", path.display()),
                    Some("check its path and its permissions".into()),
                );
                None
            }
        }
    }

    fn path(&self, name: &str, at: &KeyPath) -> PathBuf {
        self.index.directory(at).join(Path::new(name))
    }

    /// A text without references that outlive load.
    fn text(&self, field: &Field<Text>, at: &KeyPath) -> Option<String> {
        let Text(text) = field.given()?;
        let template = self.resolve(text, at, AT_LOAD, None).template()?;
        Some(template.render(&()).ok()?.expose_secret().to_owned())
    }

    /// A duration to wait, which is more than none.
    fn timeout(&self, field: &Field<raw::Span>, default: Duration, at: &KeyPath) -> Duration {
        let timeout = field.given().map_or(default, |span| span.0);
        if timeout.is_zero() {
            self.fault(
                at,
                "this would be over before it began".into(),
                Some("give more than 0".into()),
            );
        }
        timeout
    }

    /// A name that was given to something.
    fn name<T: FromStr<Err = NameError>>(&self, name: &str, at: &KeyPath) -> Option<T> {
        name.parse()
            .inspect_err(|error: &NameError| self.fault_at_key(at, error.to_string(), None))
            .ok()
    }

    /// A name that something else has.
    fn known<T: FromStr<Err = NameError>>(
        &self,
        field: &Field<Text>,
        at: &KeyPath,
        what: &str,
        names: &BTreeSet<String>,
    ) -> Option<T> {
        let name = self.text(field, at)?;
        if !names.contains(&name) {
            let known = names.iter().map(String::as_str);
            self.fault(
                at,
                format!("there is no {what} of that name"),
                super::fault::suggestion(&name, known).or_else(|| Some(format!("add it under `{what}s`"))),
            );
            return None;
        }
        // A name that is known and malformed is a fault where it was given.
        name.parse().ok()
    }
}

/// The names of a section, faulty ones too: what speaks of one of those is right to.
fn names<T>(section: &Field<Entries<T>>) -> BTreeSet<String> {
    let names = section.given().into_iter().flat_map(Entries::names);
    names.map(ToOwned::to_owned).collect()
}

/// The entries of a section.
fn entries<T>(section: &Field<Entries<T>>) -> &[(String, T)] {
    section.given().map_or(&[], |entries| &entries.0)
}

/// Checks a whole config. `None`, and also `Some` of what is incomplete, comes with faults.
pub(super) fn config(check: &Check<'_>, raw: &raw::Config, files: &[PathBuf]) -> Option<checked::Config> {
    let listeners = check.listeners(&raw.listeners);
    let probes = check.probes(&raw.probes);
    let admin = check.admin(&raw.admin);
    check.guard_twice(&listeners, probes.as_ref(), admin.as_ref());
    let log = check.log(&raw.log);
    let common = check.common_tls(&raw.tls);
    let (state, state_keys) = check.state(&raw.state, &common, files);

    let durable = !matches!(state, Some(checked::State::Memory));
    let (credentials, uses) = credentials(check, raw, &common, durable);
    let upstreams = check.upstreams(&raw.upstreams, &uses, &credentials, &common);
    let routes = check.routes(raw, &upstreams, &credentials);
    let traces = check.traces(&raw.traces, &common);
    check.stray_variables();
    Some(checked::Config {
        listeners,
        probes,
        admin,
        state: state?,
        state_keys,
        forget_after: check.forget_after(&raw.state),
        credentials,
        upstreams,
        routes,
        log: log?,
        traces,
    })
}

/// The credentials of a config by name, and the presets that they use.
fn credentials<'a>(
    check: &Check<'_>,
    raw: &'a raw::Config,
    common: &checked::Tls,
    durable: bool,
) -> (
    BTreeMap<CredentialName, checked::Credential>,
    BTreeMap<String, credential::Use<'a>>,
) {
    let section = KeyPath::of(["credentials"]);
    let mut credentials = BTreeMap::new();
    let mut uses = BTreeMap::new();
    for (name, credential) in entries(&raw.credentials) {
        let at = section.key(name);
        let used = credential::Use::new(credential, at.clone());
        let parsed: Option<CredentialName> = check.name(name, &at);
        // It is checked under some name whatever its own, for its other faults.
        let Some(parsed_or_any) = parsed.clone().or_else(|| "unnamed".parse().ok()) else {
            continue;
        };
        if name == "none" {
            check.fault_at_key(
                &at,
                "`none` says that there is no credential, so it can't be one's name".into(),
                None,
            );
        }
        if let (Some(built), Some(name)) = (check.credential(&parsed_or_any, &used, common, durable), parsed) {
            credentials.insert(name, built);
        }
        uses.insert(name.clone(), used);
    }
    (credentials, uses)
}

/// What the credentials ask for and how they sign in.
pub(super) fn specs(check: &Check<'_>, raw: &raw::Config) -> BTreeMap<CredentialName, Arc<Spec>> {
    let (credentials, _) = credentials(check, raw, &checked::Tls::default(), true);
    credentials
        .into_iter()
        .map(|(name, credential)| (name, credential.spec))
        .collect()
}
