//! A disk that fails and goes away under an open file.

use rusqlite::ffi;

use super::*;

/// What SQLite says of a disk that can't be read: the next verb opens the file anew.
async fn fail(store: &Ledgered<Sqlite>) {
    let failed = store.0.run("read", |_| -> Result<(), Fault> {
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), None).into())
    });
    assert!(failed.await.unwrap_err().reason.contains("look at the disk"));
}

#[tokio::test]
async fn a_file_whose_disk_is_unmounted_is_not_made_anew() {
    let place = place();
    let (disk, mountpoint) = (place.directory.path().join("disk"), place.directory.path().join("mnt"));
    let path = mountpoint.join("state.db");
    let store = impatient(&path);
    save(&store, "held").await.unwrap();
    let before = store.load(&key()).await.unwrap();

    fail(&store).await;
    fs::rename(&mountpoint, &disk).unwrap();
    for is_there in [false, true] {
        if is_there {
            fs::create_dir(&mountpoint).unwrap();
        }
        let error = store.claim(&key(), ask()).await.unwrap_err();
        assert!(error.reason.contains("mount its disk again"), "{error}");
    }
    assert_eq!(fs::read_dir(&mountpoint).unwrap().count(), 0, "nothing is made there");

    // An empty store of another process that was started meanwhile, or a copy.
    drop(impatient(&path));
    let error = store.claim(&key(), ask()).await.unwrap_err();
    assert!(error.reason.contains("not the file that it was"), "{error}");

    fs::remove_dir_all(&mountpoint).unwrap();
    fs::rename(&disk, &mountpoint).unwrap();
    assert_eq!(store.load(&key()).await.unwrap(), before, "recovery needs no hand");
}

#[tokio::test]
async fn a_file_that_has_lost_its_content_is_not_taken_for_a_new_one() {
    let place = place();
    let store = impatient(&place.path);
    save(&store, "held").await.unwrap();
    fail(&store).await;
    fs::OpenOptions::new()
        .write(true)
        .open(&place.path)
        .unwrap()
        .set_len(0)
        .unwrap();
    let error = store.claim(&key(), ask()).await.unwrap_err();
    assert!(error.reason.contains("is damaged"), "{error}");
    assert_eq!(fs::metadata(&place.path).unwrap().len(), 0);
}

#[tokio::test]
async fn a_file_that_could_not_be_used_at_the_start_is_not_made_anew() {
    let place = place();
    drop(impatient(&place.path));
    let raw = Connection::open(&place.path).unwrap();
    raw.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let store = impatient(&place.path);
    fs::remove_file(&place.path).unwrap();
    let error = store.claim(&key(), ask()).await.unwrap_err();
    assert!(error.reason.contains("was there and is gone"), "{error}");
    assert!(!place.path.exists());
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_not_written() {
    let place = place();
    let store = impatient(&place.path);
    store.claim(&key(), ask()).await.unwrap();
    fs::rename(&place.path, place.directory.path().join("away.db")).unwrap();
    let error = store.lose(&key()).await.unwrap_err();
    assert!(error.reason.contains("moved or deleted"), "{error}");
    fs::rename(place.directory.path().join("away.db"), &place.path).unwrap();
    assert!(store.load(&key()).await.unwrap().is_some());
}
