//! Where the config comes from: its files and all that they name, watched by content.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::config::{self, Faults, Loaded, Surroundings};

/// Between two looks; what changes files (an editor, a kubelet) is slower.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// For how long nothing must change before the new content is read: whoever writes several files writes them in a row.
const SETTLES_IN: Duration = Duration::from_millis(250);
/// How many looks that may take; a file that never rests is read as it is then.
const SETTLES_WITHIN: usize = 20;
/// A file is read at so many looks that find it the same, and then only if its marks differ: seconds later, a file system
/// with the coarsest of clocks would mark a change.
const KNOWN_AFTER: u32 = 4;
/// And again after so many, a minute: a file system may keep its marks badly.
const KNOWN_FOR: u32 = 30;

/// What a file held, or that it could not be read.
type Content = Option<Vec<u8>>;
type Contents = BTreeMap<PathBuf, Content>;

/// What a file system says of a file, and changes with its content: device, inode, size, and when it was modified and
/// changed, in seconds and nanoseconds. The file's own, behind all symlinks.
type Marks = (u64, u64, u64, [i64; 4]);

/// What the last looks at a file came to.
#[derive(Clone)]
struct Known {
    marks: Option<Marks>,
    content: Content,
    /// How many looks before this one found the same.
    looks: u32,
}

/// The config's files as the operator named them, and what they and the files that they name held when last read.
pub(super) struct Source {
    files: Vec<PathBuf>,
    read: Mutex<Contents>,
    known: Mutex<BTreeMap<PathBuf, Known>>,
}

impl Source {
    pub(super) fn new(files: &[PathBuf]) -> Self {
        Self {
            files: files.to_vec(),
            read: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Loads the config, and remembers a digest of each file that was asked for, those that aren't there included: so
    /// what is watched is exactly what was loaded. By content, for a ConfigMap's files change by swapping a symlink
    /// above them.
    pub(super) fn load(&self) -> Result<Loaded, Faults> {
        let read: Arc<Mutex<Contents>> = Arc::default();
        let note = read.clone();
        let surroundings = Surroundings {
            read: Box::new(move |path| {
                let content = fs::read(path);
                locked(&note).insert(path.into(), digested(&content));
                content
            }),
            ..Surroundings::of_process()
        };
        let loaded = config::load(&self.files, &surroundings);
        drop(surroundings);
        *locked(&self.read) = std::mem::take(&mut *locked(&read));
        loaded
    }

    /// Waits until something differs from what was read last, and has come to rest.
    pub(super) async fn changed(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let mut seen = self.look().await;
            if seen == *locked(&self.read) {
                continue;
            }
            for _ in 0..SETTLES_WITHIN {
                tokio::time::sleep(SETTLES_IN).await;
                let now = self.look().await;
                if now == std::mem::replace(&mut seen, now.clone()) {
                    break;
                }
            }
            // It may have been put back.
            if seen != *locked(&self.read) {
                return;
            }
        }
    }

    /// What the files hold now. In a thread of its own: a file system may take its time.
    async fn look(self: &Arc<Self>) -> Contents {
        let source = self.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let paths: Vec<PathBuf> = locked(&source.read).keys().cloned().collect();
            let mut known = locked(&source.known);
            let seen = paths.into_iter().map(|path| (look_at(&path, known.get(&path)), path));
            *known = seen.map(|(seen, path)| (path, seen)).collect();
            known
                .iter()
                .map(|(path, seen)| (path.clone(), seen.content.clone()))
                .collect()
        });
        // It ends early with the runtime only.
        looking.await.unwrap_or_default()
    }
}

/// What a file holds, without reading it where its marks have long been the same.
fn look_at(path: &Path, before: Option<&Known>) -> Known {
    // Before the content is read: what is written in between differs the next time.
    let marks = fs::metadata(path).ok().map(|file| marks(&file));
    let same = before.filter(|before| cfg!(unix) && before.marks == marks && marks.is_some());
    if let Some(same) = same.filter(|same| (KNOWN_AFTER..KNOWN_AFTER + KNOWN_FOR).contains(&same.looks)) {
        return Known {
            looks: same.looks + 1,
            ..same.clone()
        };
    }
    let content = digested(&read(path));
    let same = same.filter(|same| same.content == content);
    Known {
        marks,
        looks: same.map_or(0, |same| (same.looks + 1).min(KNOWN_AFTER)),
        content,
    }
}

#[cfg(unix)]
fn marks(file: &fs::Metadata) -> Marks {
    use std::os::unix::fs::MetadataExt;

    let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    (file.dev(), file.ino(), file.len(), times)
}

/// Elsewhere nothing marks a file that is known to be another: its content is read at each look.
#[cfg(not(unix))]
fn marks(file: &fs::Metadata) -> Marks {
    (0, 0, file.len(), [i64::MAX; 4])
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    fs::read(path).map(Zeroizing::new)
}

/// Of secrets only a digest is kept.
fn digested(content: &io::Result<impl AsRef<[u8]>>) -> Content {
    let content = content.as_ref().ok()?;
    Some(digest::digest(&digest::SHA256, content.as_ref()).as_ref().to_vec())
}

fn locked<T>(contents: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    contents.lock().unwrap_or_else(PoisonError::into_inner)
}
