//! A state file that can't be written: by its permissions, and on a file system that is mounted read-only.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use crate::{
    disk::Disk,
    world::{World, skip},
};

/// Tells this test's program that it runs without the power to write whatever it likes.
const PLAIN: &str = "BEARERD_TEST_PLAIN";

fn forbid(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Permissions don't stop root, unless it has given up the capabilities that they are overridden with
/// (capabilities(7)): the test runs in a process of its own then.
#[test]
fn a_file_that_may_not_be_written_stops_spends_and_no_traffic() {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        return without_permission();
    }
    let run = Command::new("setpriv")
        .args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "read_only::without_capabilities", "--nocapture"])
        .env(PLAIN, "1")
        .status();
    match run {
        Ok(run) => assert!(run.success()),
        Err(_) => skip("setpriv is not installed"),
    }
}

/// Runs as a test of its own, and does nothing unless the one above asks for it.
#[test]
fn without_capabilities() {
    if env::var_os(PLAIN).is_some() {
        without_permission();
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission() {
    let directory = tempfile::tempdir().unwrap();
    let (folder, file) = (directory.path().join("state"), directory.path().join("state/state.db"));
    let world = World::new(&format!("store: sqlite, path: \"{}\"", file.display())).await;
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");

    // The file is open for writing, but no journal can be made beside it.
    forbid(&folder, 0o500);
    world.make_due();
    assert_eq!(bearerd.ask().await.word, "200", "what is held goes on");
    let trouble = bearerd.store_trouble().await;
    assert!(trouble.contains("can't be written"), "{trouble}");
    assert!(bearerd.stop().await);

    // A start finds a file that it may only read, and serves what it holds.
    forbid(&file, 0o400);
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");
    let trouble = bearerd.store_trouble().await;
    assert!(trouble.contains("can't be written"), "{trouble}");
    world.expire();
    let answer = bearerd.ask_until("503 token_unavailable").await;
    assert!(answer.body.contains("must be writable by bearerd's user"), "{answer:?}");
    assert_eq!(world.sent(), (1, 0), "no claim, no token request");

    forbid(&file, 0o600);
    forbid(&folder, 0o700);
    assert_eq!(bearerd.ask().await.word, "200", "recovery needs no hand");
    assert_eq!(world.sent(), (2, 0));

    // After a spend: the new token is in use, and is saved once it can be.
    world.expire();
    world.answer_slowly();
    let asking = bearerd.asking();
    world.spends(3).await;
    forbid(&folder, 0o500);
    assert_eq!(asking.await.unwrap().word, "200");
    bearerd.until_unsaved(true).await;
    forbid(&folder, 0o700);
    bearerd.until_unsaved(false).await;
    assert!(bearerd.stop().await);
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_system_stops_spends_and_no_traffic() {
    let Some(disk) = Disk::mount() else { return };
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &options]).arg(disk.path()).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let file = disk.path().join("state.db");
    let world = World::new(&format!("store: sqlite, path: \"{}\"", file.display())).await;
    // A first start has nothing that it could serve, and comes up all the same.
    remount("ro");
    let bearerd = world.start().await;
    let answer = bearerd.ask_until("503 token_unavailable").await;
    assert!(answer.body.contains("read-only file system"), "{answer:?}");
    assert_eq!(world.sent(), (0, 0));
    remount("rw");
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (1, 0));

    // The system makes no file system read-only that has a file open for writing.
    assert!(bearerd.stop().await);
    while Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk.path())
        .output()
        .is_ok_and(|done| !done.status.success())
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200", "what is saved is of use");
    world.expire();
    let answer = bearerd.ask_until("503 token_unavailable").await;
    assert!(answer.body.contains("can't be written"), "{answer:?}");
    assert_eq!(world.sent(), (1, 0));
    remount("rw");
    assert_eq!(bearerd.ask().await.word, "200", "recovery needs no hand");
    assert_eq!(world.sent(), (2, 0));
}
