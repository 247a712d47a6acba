//! What requests cost in memory, counted by the allocator itself.

mod world;

use std::time::Duration;

use http_body_util::BodyExt;
use tikv_jemalloc_ctl::thread;
use tokio::task::JoinSet;
use tower::Service;

use world::World;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The most that a request may cost while it waits for a token, in bytes, beside its connection.
const MOST_WAITING: i64 = 4096;
/// How much more may be held in the end than at first, in bytes: what grew once and is kept for the next burst.
const LEFT_OVER: i64 = 2 * 1024 * 1024;

/// What this thread has allocated and not freed, in bytes. Everything of a test runs on its thread.
fn held() -> i64 {
    let freed = thread::deallocatedp::read().unwrap().get();
    allocated() - i64::try_from(freed).unwrap()
}

fn allocated() -> i64 {
    thread::allocatedp::read().unwrap().get().try_into().unwrap()
}

/// Lets every task that can go on do so.
async fn all_have_had_their_turn() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_token_that_is_there_is_had_without_an_allocation() {
    let world = World::new().await;
    world.release();
    assert_eq!(world.stack().call(world.request()).await.unwrap().status(), 200);
    let handle = world.manager().one_handle().unwrap().clone();
    // The first look may make something that is kept for the thread.
    assert!(handle.token_at_once().is_some());
    let before = allocated();
    for _ in 0..10_000 {
        assert!(handle.token_at_once().is_some());
    }
    assert_eq!(allocated() - before, 0);
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture, or when the test fails")]
async fn ten_thousand_callers_wait_for_one_token_request_and_leave_nothing_behind() {
    const COUNT: i64 = 10_000;
    // Both ends of as many connections as an upstream is given at once.
    world::descriptors(4096);
    let world = World::new().await;
    // Once through, so that what is made once isn't counted; then the token is gone.
    world.release();
    assert_eq!(world.stack().call(world.request()).await.unwrap().status(), 200);
    world.hold();
    world.clock.advance(Duration::from_secs(7200));
    all_have_had_their_turn().await;

    // A connection has a task anyway.
    let before = held();
    let mut tasks = JoinSet::new();
    for _ in 0..COUNT {
        tasks.spawn(std::future::pending::<()>());
    }
    let of_tasks = held() - before;
    drop(tasks);
    all_have_had_their_turn().await;

    let before = held();
    let mut callers = JoinSet::new();
    for _ in 0..COUNT {
        callers.spawn(world.stack().call(world.request()));
    }
    world.asked(2).await;
    all_have_had_their_turn().await;
    let each = (held() - before - of_tasks) / COUNT;
    println!("{COUNT} callers wait for a token: {each} bytes each");
    assert!(each <= MOST_WAITING, "{each} bytes");

    world.release();
    let mut answered = 0;
    while let Some(answer) = callers.join_next().await {
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        answered += 1;
    }
    assert_eq!((answered, world.token_requests()), (COUNT, 2));
    drop(callers);
    all_have_had_their_turn().await;
    let left = held() - before;
    println!("and leave {left} bytes behind");
    assert!(left <= LEFT_OVER, "{left} bytes");
}
