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

/// Between two looks. A look reads a handful of small files; what changes them (an editor, a kubelet) is slower.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// For how long nothing must change before the new content is read: whoever writes several files writes them in a row.
const SETTLES_IN: Duration = Duration::from_millis(250);
/// How many looks that may take; a file that never rests is read as it is then.
const SETTLES_WITHIN: usize = 20;

/// What a file held, or that it could not be read.
type Content = Option<Vec<u8>>;
type Contents = BTreeMap<PathBuf, Content>;

/// The config's files as the operator named them, and what they and the files that they name held when last read.
pub(super) struct Source {
    files: Vec<PathBuf>,
    read: Mutex<Contents>,
}

impl Source {
    pub(super) fn new(files: &[PathBuf]) -> Self {
        Self {
            files: files.to_vec(),
            read: Mutex::default(),
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
        let paths: Vec<PathBuf> = locked(&self.read).keys().cloned().collect();
        let looking = tokio::task::spawn_blocking(move || {
            let content = |path: PathBuf| (digested(&read(&path)), path);
            paths
                .into_iter()
                .map(content)
                .map(|(content, path)| (path, content))
                .collect()
        });
        // It ends early with the runtime only.
        looking.await.unwrap_or_default()
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    fs::read(path).map(Zeroizing::new)
}

/// Of secrets only a digest is kept.
fn digested(content: &io::Result<impl AsRef<[u8]>>) -> Content {
    let content = content.as_ref().ok()?;
    Some(digest::digest(&digest::SHA256, content.as_ref()).as_ref().to_vec())
}

fn locked(contents: &Mutex<Contents>) -> std::sync::MutexGuard<'_, Contents> {
    contents.lock().unwrap_or_else(PoisonError::into_inner)
}
