//! A sign-in by hand beside refreshes, and after the end of a chain.

use std::thread;

use bearerd::demo::idp::Hold;

use crate::world::{World, eventually, redirected, visit};

fn sign_in(world: &World) {
    let mut login = world.login(&["code"]);
    let back = redirected(&login.line("http://"));
    assert_eq!(visit(&back).status, 200);
    let (code, said) = login.end();
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_sign_in_by_hand_is_not_lost_to_a_refresh_in_flight() {
    let world = World::start();
    sign_in(&world);
    assert_eq!(world.position("code"), (1, 1));
    world.idp.hold(Hold::Refreshes);
    let asked = thread::scope(|scope| {
        let asked = scope.spawn(|| world.post("/credentials/code/refresh", "{}"));
        world.until(|counts| counts.refreshes == 1);
        sign_in(&world);
        asked.join().unwrap()
    });
    // Whoever asked for a newer token has one.
    assert_eq!(asked.status, 200, "{}", asked.body);
    assert!(
        asked.body.contains("has a new token: 2.1, it was 1.1"),
        "{}",
        asked.body
    );
    assert_eq!(
        world.position("code"),
        (2, 1),
        "at once, though the refresh has no answer"
    );
    assert_eq!(world.get("code").status, 200);

    world.idp.hold(Hold::Nothing);
    // The late answer of the older chain changes nothing; a refresh of the newer one works, so it is the one in use.
    assert_eq!(world.post("/credentials/code/refresh", "{}").status, 200);
    world.until(|counts| counts.refreshes == 2);
    eventually(|| world.position("code") == (2, 2));
    assert_eq!(world.get("code").status, 200);
    assert_eq!(world.idp.counts().reuses, 0);
    world.end();
}

#[test]
fn after_the_end_of_a_chain_requests_go_on_without_a_restart() {
    let world = World::start();
    sign_in(&world);
    assert_eq!(world.get("code").status, 200);
    world.idp.revoke();
    // The rejected token is renewed, which the server refuses for good: the first answer is its 401, or ours.
    eventually(|| world.get("code").header("x-bearerd-error") == Some("login_required"));
    let told = world.get("code");
    assert_eq!(told.status, 503);
    assert!(told.body.contains("bearerd login code"), "{}", told.body);
    sign_in(&world);
    let after = world.get("code");
    assert_eq!((after.status, &*after.body), (200, "hello kari\n"));
    assert_eq!(world.position("code").0, 2);
    world.end();
}

#[test]
fn law_3_a_sign_in_that_cannot_be_saved_is_saved_as_soon_as_it_can_be() {
    let world = World::start();
    world.idp.hold(Hold::Codes);
    let mut login = world.login(&["code"]);
    let back = redirected(&login.line("http://"));
    let browser = thread::spawn(move || visit(&back).status);
    world.until(|counts| counts.codes == 1);

    // Claimed and answered: now the store can't be written any more.
    let other = rusqlite::Connection::open(world.path("state.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    world.idp.hold(Hold::Nothing);
    world.logged("the tokens are not saved yet");
    other.execute_batch("ROLLBACK").unwrap();

    assert_eq!(browser.join().unwrap(), 200);
    let (code, said) = login.end();
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.get("code").status, 200);
    assert_eq!(
        (world.counted().codes, world.counted().codes_refused),
        (1, 0),
        "the code was sent once"
    );
    world.end();
}
