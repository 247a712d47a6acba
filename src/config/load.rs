//! From files and environment to a checked config.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use config::File;
use serde::Deserialize;

use super::{
    check::{self, Check},
    checked,
    fault::{Fault, Faults, Origin, suggestion},
    format::{Found, Yaml},
    layer::{Environment, Tree, merged},
    node::{FileId, KeyPath, Node},
    preset, raw,
    read::{Reader, Sink},
};
use crate::{credential::Spec, name::CredentialName};

/// Where a config is looked for when none is named.
const PLACES: [&str; 2] = ["bearerd.yaml", "/etc/bearerd/bearerd.yaml"];

/// Reads a file's bytes.
type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;

/// What a config is read from: handed in, so that a test needs no process of its own.
pub struct Surroundings {
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Reads a file.
    pub read: Box<ReadFile>,
}

impl Surroundings {
    /// The process's own. Variables that aren't Unicode are as good as not set.
    pub fn of_process() -> Self {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            env: std::env::vars_os().filter_map(unicode).collect(),
            read: Box::new(|path| std::fs::read(path)),
        }
    }
}

/// Shows no value: any may be a secret.
impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("env", &self.env.len())
            .finish_non_exhaustive()
    }
}

/// A config, loaded.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: checked::Config,
    /// Every file that was read, secrets and certificates included.
    pub files: Vec<PathBuf>,
    /// What is not wrong but probably not meant.
    pub warnings: Vec<Fault>,
}

/// Where the running one listens for commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The probes listener.
    pub probes: Option<checked::Bind>,
    /// The admin listener.
    pub admin: Option<checked::Bind>,
}

/// The files of a config: those named, else `$BEARERD_CONFIG`, else the first there is of `./bearerd.yaml` and
/// `/etc/bearerd/bearerd.yaml`.
pub fn find(named: &[PathBuf], surroundings: &Surroundings) -> Result<Vec<PathBuf>, Faults> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    if let Some(file) = surroundings.env.get("BEARERD_CONFIG").filter(|file| !file.is_empty()) {
        return Ok(vec![file.into()]);
    }
    let there = |place: &&str| !matches!((surroundings.read)(Path::new(place)), Err(error) if error.kind() == io::ErrorKind::NotFound);
    match PLACES.into_iter().find(there) {
        Some(place) => Ok(vec![place.into()]),
        None => Err(Faults(vec![Fault {
            origin: Origin::Nowhere,
            path: KeyPath::default(),
            message: format!(
                "there is no config: neither --config nor $BEARERD_CONFIG names one, and neither {} exists",
                PLACES.join(" nor ")
            ),
            hint: Some("`bearerd init` writes one, and `bearerd demo` needs none".into()),
        }])),
    }
}

/// Loads a config from these files, each laid over those before it, and the environment over all; see [`find`].
pub fn load(paths: &[PathBuf], surroundings: &Surroundings) -> Result<Loaded, Faults> {
    let paths = find(paths, surroundings)?;
    let (root, found) = layers(&paths, surroundings)?;
    read(root, found, paths, surroundings)
}

/// Where the running one listens for commands, and nothing else of the config: it takes no secret to ask for that.
pub fn addresses(paths: &[PathBuf], surroundings: &Surroundings) -> Result<Addresses, Faults> {
    with_section(&["probes", "admin"], paths, surroundings, false, |check, raw| {
        Addresses {
            probes: check.probes(&raw.probes),
            admin: check.admin(&raw.admin),
        }
    })
}

/// What the credentials ask for and how they sign in, without a secret read: something stands where each would.
/// Enough to ask a person the right questions, and of no use for a token request.
pub fn specs(paths: &[PathBuf], surroundings: &Surroundings) -> Result<BTreeMap<CredentialName, Arc<Spec>>, Faults> {
    with_section(&["credentials"], paths, surroundings, true, check::specs)
}

/// Checks some sections of a config as if there were no others.
fn with_section<T>(
    sections: &[&str],
    paths: &[PathBuf],
    surroundings: &Surroundings,
    blind: bool,
    checked: impl FnOnce(&Check<'_>, &raw::Config) -> T,
) -> Result<T, Faults> {
    let paths = find(paths, surroundings)?;
    let (mut root, found) = layers(&paths, surroundings)?;
    if let Node::Map(entries) = &mut root {
        entries.retain(|(name, _)| sections.contains(&name.as_str()));
    }
    let of_these = |fault: &Fault| fault.path.keys().next().is_none_or(|name| sections.contains(&name));
    let sink = Sink {
        index: &found.index,
        faults: RefCell::new(found.faults.into_iter().filter(of_these).collect()),
    };
    let raw = raw_of(&mut root, &sink);
    let mut check = Check::new(&found.index, surroundings, sink.faults.into_inner());
    check.blind = blind;
    let checked = checked(&check, &raw);
    match check.finish().0 {
        faults if faults.is_empty() => Ok(checked),
        faults => Err(Faults::of(faults)),
    }
}

/// The layers of a config over one another, and what was found in them.
fn layers(paths: &[PathBuf], surroundings: &Surroundings) -> Result<(Node, Found), Faults> {
    let found = Arc::new(Mutex::new(Found::default()));
    let mut builder = config::Config::builder();
    let mut unread = Vec::new();
    for (order, path) in paths.iter().enumerate() {
        let file = FileId {
            order,
            file: Arc::new(path.clone()),
        };
        match text(path, surroundings) {
            Ok(text) => {
                let format = Yaml {
                    file,
                    found: found.clone(),
                };
                builder = builder.add_source(File::from_str(&text, format));
            }
            Err((message, hint)) => unread.push(Fault {
                origin: file.at(0, 0),
                path: KeyPath::default(),
                message,
                hint,
            }),
        }
    }
    if !unread.is_empty() {
        return Err(Faults::of(unread));
    }
    // The files are parsed when the layers are built, and the variables' places replace theirs; so files go first.
    let files = merged(builder);
    let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    let environment = Environment::read(&surroundings.env, &mut found.index, &mut found.faults);
    let root = files.and_then(|files| {
        // Laying nothing over ten thousand routes takes a third of all that loading them does.
        if environment.is_empty() {
            return Ok(files);
        }
        merged(
            config::Config::builder()
                .add_source(Tree(files))
                .add_source(environment),
        )
    });
    match root {
        Ok(root) if !found.cut => Ok((root, found)),
        Ok(_) => Err(Faults::of(found.faults)),
        // The crate's own errors may show values, and there is none that our layers can cause.
        Err(_) => {
            found.faults.push(Fault {
                origin: Origin::Nowhere,
                path: KeyPath::default(),
                message: "the layers of the config can't be laid over one another".into(),
                hint: None,
            });
            Err(Faults::of(found.faults))
        }
    }
}

fn text(path: &Path, surroundings: &Surroundings) -> Result<String, (String, Option<String>)> {
    let bytes = (surroundings.read)(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => (
            "there is no such config file".to_owned(),
            Some("`bearerd init` writes one, and `bearerd demo` needs none".to_owned()),
        ),
        _ => (format!("the config file can't be read: {error}"), None),
    })?;
    String::from_utf8(bytes).map_err(|_| ("the config file is not UTF-8 text".to_owned(), None))
}

fn read(mut root: Node, found: Found, paths: Vec<PathBuf>, surroundings: &Surroundings) -> Result<Loaded, Faults> {
    let sink = Sink {
        index: &found.index,
        faults: RefCell::new(found.faults),
    };
    let raw = raw_of(&mut root, &sink);
    let check = Check::new(&found.index, surroundings, sink.faults.into_inner());
    let config = check::config(&check, &raw, &paths);
    let (faults, warnings, named) = check.finish();
    match config {
        Some(config) if faults.is_empty() => Ok(Loaded {
            config,
            files: paths.into_iter().chain(named).collect(),
            warnings: Faults::of(warnings).0,
        }),
        _ => Err(Faults::of(faults)),
    }
}

/// A tree as the serde mirror, presets laid under.
fn raw_of(root: &mut Node, sink: &Sink<'_>) -> raw::Config {
    lay_presets(root, sink);
    let reader = Reader {
        node: root,
        path: KeyPath::default(),
        sink,
    };
    raw::Config::deserialize(reader).unwrap_or_default()
}

/// Lays each credential over its preset.
fn lay_presets(root: &mut Node, sink: &Sink<'_>) {
    let Node::Map(sections) = root else {
        return;
    };
    let Some((_, Node::Map(credentials))) = sections.iter_mut().find(|(name, _)| name == "credentials") else {
        return;
    };
    for (name, credential) in credentials {
        let Some(Node::Text(wanted)) = credential.get("preset") else {
            continue;
        };
        let path = KeyPath::of(["credentials", name.as_str()]);
        let Some(preset) = preset::find(wanted) else {
            let path = path.key("preset");
            sink.faults.borrow_mut().push(Fault {
                origin: sink.index.value(&path),
                path,
                message: "there is no preset of that name".into(),
                hint: suggestion(wanted, preset::names()),
            });
            continue;
        };
        let under = |node: Node| {
            Tree(Node::Map(vec![(
                "credentials".into(),
                Node::Map(vec![(name.clone(), node)]),
            )]))
        };
        let laid = merged(
            config::Config::builder()
                .add_source(under(preset.body.clone()))
                .add_source(under(std::mem::take(credential))),
        );
        if let Ok(mut laid) = laid {
            *credential = laid.take("credentials").take(name);
        }
    }
}
