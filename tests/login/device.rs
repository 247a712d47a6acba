//! Device codes (RFC 8628).

use bearerd::demo::idp::Person;

use crate::world::{World, eventually, visit};

#[test]
fn a_device_waits_for_its_person_no_faster_than_it_may() {
    let world = World::start();
    world.idp.slow_down(1);
    let mut login = world.login(&["device"]);
    login.line("On any device");
    let page = login.line("http://");
    assert!(page.ends_with("/activate"), "{page}");
    let complete = login.line("http://");
    assert!(complete.contains("user_code="), "{complete}");
    world.until(|counts| counts.slow_downs == 1);
    assert_eq!(world.get("device").status, 503);
    assert_eq!(visit(&complete).status, 200);
    let (code, said) = login.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("signed in with credential device"), "{said}");
    assert_eq!(world.get("device").body, "hello kari\n");
    let counted = world.counted();
    // The second poll came five seconds later than the interval that the first was told off for.
    assert_eq!((counted.polls, counted.slow_downs, counted.early_polls), (2, 1, 0));
    world.end();
}

#[test]
fn a_refusal_and_an_expired_code_are_told() {
    let world = World::start();
    for (word, end) in [
        ("refused", &(|| world.idp.decide_devices(Person::Refuses)) as &dyn Fn()),
        ("expired", &|| world.idp.expire_devices()),
    ] {
        let mut login = world.login(&["device"]);
        login.line("Waiting");
        end();
        let (code, said) = login.end();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(word), "{said}");
        assert_eq!(world.get("device").status, 503);
    }
    world.end();
}

#[test]
fn a_person_who_closes_the_terminal_still_signs_in() {
    let world = World::start();
    let mut login = world.login(&["device"]);
    login.line("Waiting");
    login.kill();
    let polls = world.until(|counts| counts.polls > 0).polls;
    world.idp.decide_devices(Person::Agrees);
    world.until(|counts| counts.polls > polls);
    // The store has it a moment later.
    eventually(|| world.get("device").status == 200);
    assert_eq!(world.counted().early_polls, 0);
    world.end();
}
