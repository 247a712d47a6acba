//! The tree of a config before it has types: every scalar is the text that was written.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::fault::{Origin, write_line};

/// A value without a type.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) enum Node {
    /// Plain `null`, `~`, or nothing.
    #[default]
    Absent,
    /// A scalar, as written.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of a mapping's key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Takes a key out of a mapping.
    pub(super) fn take(&mut self, key: &str) -> Node {
        match self {
            Self::Map(entries) => match entries.iter().position(|(name, _)| name == key) {
                Some(at) => entries.remove(at).1,
                None => Self::Absent,
            },
            _ => Self::Absent,
        }
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Shows shape and keys only: any scalar may be a secret.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent | Self::Text(_) => f.write_str(self.kind()),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|(key, node)| (key, node)))
                .finish(),
        }
    }
}

/// The path of a key: `credentials`, `fluent`, `params`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// The path of these keys.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self(keys.into_iter().map(Into::into).collect())
    }

    /// The path of a key under this one.
    pub fn key(&self, key: &str) -> Self {
        let mut keys = self.0.clone();
        keys.push(key.into());
        Self(keys)
    }

    /// The path of a list's item.
    pub fn item(&self, index: usize) -> Self {
        self.key(&format!("[{index}]"))
    }

    /// The path above this one.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// The keys, outermost first.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether it is the path of the whole config.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, key) in self.0.iter().enumerate() {
            // An item's index stands against its list: `routes.erp.methods[1]`.
            if nth > 0 && !key.starts_with('[') {
                f.write_str(".")?;
            }
            write_line(f, key)?;
        }
        Ok(())
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Where every key and value was written: merging layers drops that.
#[derive(Debug, Clone, Default)]
pub(super) struct Index(HashMap<KeyPath, Places>);

#[derive(Debug, Clone)]
struct Places {
    key: Origin,
    value: Origin,
}

impl Index {
    /// Notes a key and its value; a later layer's note replaces an earlier one's.
    pub(super) fn note(&mut self, path: KeyPath, key: Origin, value: Origin) {
        self.0.insert(path, Places { key, value });
    }

    /// Whether this very key was written.
    pub(super) fn has(&self, path: &KeyPath) -> bool {
        self.0.contains_key(path)
    }

    /// Where the key was written; else the nearest key above it that was.
    pub(super) fn key(&self, path: &KeyPath) -> Origin {
        self.nearest(path)
            .map_or(Origin::Nowhere, |(_, places)| places.key.clone())
    }

    /// Where the value was written; else the nearest key above it.
    pub(super) fn value(&self, path: &KeyPath) -> Origin {
        match self.nearest(path) {
            Some((0, places)) => places.value.clone(),
            Some((_, places)) => places.key.clone(),
            None => Origin::Nowhere,
        }
    }

    /// Where relative paths written there start: beside their file; the working directory for variables.
    pub(super) fn directory(&self, path: &KeyPath) -> PathBuf {
        match self.value(path) {
            Origin::File { file, .. } => file.parent().map(Path::to_owned).unwrap_or_default(),
            Origin::Variable(_) | Origin::Nowhere => PathBuf::new(),
        }
    }

    fn nearest(&self, path: &KeyPath) -> Option<(usize, &Places)> {
        let mut path = path.clone();
        for above in 0.. {
            if let Some(places) = self.0.get(&path) {
                return Some((above, places));
            }
            path = path.parent()?;
        }
        None
    }
}

/// A file's place among the layers.
#[derive(Debug, Clone)]
pub(super) struct FileId {
    pub(super) order: usize,
    pub(super) file: Arc<PathBuf>,
}

impl FileId {
    /// A position in it; both count from 1, and 0 is the file as a whole.
    pub(super) fn at(&self, line: usize, column: usize) -> Origin {
        Origin::File {
            order: self.order,
            file: self.file.clone(),
            line,
            column,
        }
    }
}
