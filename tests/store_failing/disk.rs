//! A disk that is really full: a small file system of the test's own.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::world::{World, skip};

/// A file system in memory, unmounted when this is dropped.
pub(crate) struct Disk {
    directory: TempDir,
}

impl Disk {
    /// A small one; `None` where this process may not mount.
    pub(crate) fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"])
            .arg(directory.path())
            .output();
        match mounted {
            Ok(mounted) if mounted.status.success() => Some(Self { directory }),
            _ => {
                skip("a file system of the test's own can't be mounted");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for size in [4096, 1] {
            let block = vec![0; size];
            while filler.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there closes it when it ends.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn state(disk: &Disk) -> String {
    format!("store: sqlite, path: \"{}\"", disk.path().join("state.db").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn laws_2_and_10_a_full_disk_stops_spends_and_no_traffic() {
    let Some(disk) = Disk::mount() else { return };
    let world = World::new(&state(&disk)).await;
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (1, 0));

    disk.fill();
    world.make_due();
    assert_eq!(bearerd.ask().await.word, "200", "what is held goes on");
    let trouble = bearerd.store_trouble().await;
    assert!(trouble.contains("no space is left for"), "{trouble}");
    for _ in 0..5 {
        assert_eq!(bearerd.ask_hastily().await.word, "200");
    }

    // A restart on a full disk comes up with what is saved, and is no loop of crashes.
    assert!(bearerd.stop().await);
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (1, 0), "no claim, no token request");

    world.expire();
    let answer = bearerd.ask_until("503 token_unavailable").await;
    assert!(answer.body.contains("no space is left for"), "{answer:?}");
    assert!(answer.retry_after.is_some(), "{answer:?}");
    assert_eq!(world.sent(), (1, 0), "no claim, no token request");

    disk.free();
    assert_eq!(bearerd.ask().await.word, "200", "recovery needs no hand");
    assert_eq!(world.sent(), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_what_a_full_disk_does_not_take_is_used_and_saved_later() {
    let Some(disk) = Disk::mount() else { return };
    let world = World::new(&state(&disk)).await;
    let bearerd = world.start().await;
    world.answer_slowly();
    let asking = bearerd.asking();
    world.spends(1).await;
    disk.fill();
    assert_eq!(
        asking.await.unwrap().word,
        "200",
        "after a spend, the new token is used"
    );
    bearerd.until_unsaved(true).await;
    for _ in 0..5 {
        assert_eq!(bearerd.ask_hastily().await.word, "200");
    }
    disk.free();
    bearerd.until_unsaved(false).await;
    assert!(bearerd.stop().await);
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (1, 0), "what was saved late is what the next start finds");
    world.expire();
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_on_a_full_disk_waits_for_room() {
    let Some(disk) = Disk::mount() else { return };
    let world = World::new(&state(&disk)).await;
    disk.fill();
    let bearerd = world.start().await;
    let answer = bearerd.ask_until("503 token_unavailable").await;
    assert!(answer.body.contains("no space is left for"), "{answer:?}");
    assert_eq!(world.sent(), (0, 0));
    disk.free();
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (1, 0));
}
