//! What a subject costs in memory.

use std::{
    process::{Command, Stdio},
    sync::Arc,
};

use bearerd::clock::Clock;

use crate::{
    vendor::Vendor,
    world::{Caller, program},
};

/// Where the child finds the vendor.
const VENDOR: &str = "BEARERD_TESTS_VENDOR";
/// How many subjects, where it isn't four thousand: `BEARERD_TESTS_SUBJECTS=100000 cargo test --test subjects memory`.
const SUBJECTS: &str = "BEARERD_TESTS_SUBJECTS";

fn subjects() -> usize {
    let given = std::env::var(SUBJECTS).ok();
    given.map_or(4_000, |given| given.parse().unwrap())
}

/// Measured in a process of its own, so that neither the vendor nor other tests count.
#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_a_subject_is_printed() {
    let vendor = Vendor::start("one").await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "footprint::in_a_process_of_its_own", "--nocapture"])
        .env(VENDOR, vendor.address.to_string())
        .stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || child.output())
        .await
        .unwrap()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let figure = output.lines().find_map(|line| line.split_once("a subject in memory: "));
    let Some((_, figure)) = figure else {
        panic!("no figure: {output}");
    };
    println!("a subject in memory: {figure}");
    assert_eq!(vendor.all_exchanges(), subjects());
    let bytes: usize = figure.split(' ').next().unwrap().parse().unwrap();
    // Far above what is measured: a leak, or another copy of everything, would not fit.
    assert!(bytes < 32 * 1024, "{figure}");
}

#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}

/// The child of the test above; by itself it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_process_of_its_own() {
    let Ok(vendor) = std::env::var(VENDOR) else { return };
    let clock = Clock::manual();
    let keys = format!("max_subjects: {}, ", subjects());
    let (program, stack) = program("{ store: memory }", &keys, [vendor.clone(), vendor], &clock).await;
    // A tenth first, so that buffers, pools and threads have their size before the measuring begins.
    let (warm, all) = (subjects() / 10, subjects());
    fill(&stack, 0..warm).await;
    let before = resident();
    fill(&stack, warm..all).await;
    let after = resident();
    let each = after.saturating_sub(before) / (all - warm);
    println!(
        "a subject in memory: {each} bytes, record included ({all} subjects, {} MiB resident)",
        after >> 20
    );
    drop((program, stack));
}

async fn fill(stack: &bearerd::proxy::Stack, subjects: std::ops::Range<usize>) {
    let next = Arc::new(std::sync::Mutex::new(subjects));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (caller, next) = (Caller(stack.clone()), next.clone());
            tokio::spawn(async move {
                loop {
                    let Some(subject) = next.lock().unwrap().next() else {
                        return;
                    };
                    // As long as real ones are.
                    let user = format!("{subject:0>64}");
                    let answer = caller.ask("one", &user, "tenant").await;
                    assert_eq!(answer.body, format!("one {user} tenant"));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
