//! Authorization codes with PKCE: redirected to loopback, or pasted.

use bearerd::demo::idp::{Person, REGISTERED};

use crate::world::{World, parameter, redirected, visit};

#[test]
fn a_browser_of_this_machine_comes_back_by_itself() {
    let world = World::start();
    let before = world.get("code");
    assert_eq!(
        (before.status, before.header("x-bearerd-error")),
        (503, Some("login_required"))
    );
    assert!(before.body.contains("bearerd login code"), "{}", before.body);

    let mut login = world.login(&["code"]);
    let page = login.line("http://");
    assert_eq!(parameter(&page, "code_challenge_method"), "S256");
    assert_eq!(parameter(&page, "scope"), "api");
    let back = redirected(&page);
    assert!(back.starts_with("http://127.0.0.1:"), "{back}");
    let told = visit(&back);
    assert_eq!(told.status, 200, "{}", told.body);
    assert!(told.body.contains("You can close this page"), "{}", told.body);
    let (code, said) = login.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("signed in with credential code"), "{said}");

    let after = world.get("code");
    assert_eq!((after.status, &*after.body), (200, "hello kari\n"));
    assert_eq!((world.counted().codes, world.counted().codes_refused), (1, 0));
    world.end();
}

#[test]
fn a_redirect_with_another_state_is_not_believed_and_the_right_one_still_is() {
    let world = World::start();
    let mut login = world.login(&["code"]);
    let page = login.line("http://");
    let back = redirected(&page);
    let forged = back.replace(&parameter(&page, "state"), "another-state-of-somebody-elses");
    let callback = back.split('?').next().unwrap();
    for target in [
        forged,
        format!("{callback}?code={}", parameter(&back, "code")),
        format!("{callback}?error=access_denied"),
    ] {
        assert_eq!(visit(&target).status, 400, "{target}");
    }
    let counted = world.counted();
    assert_eq!((counted.codes, counted.codes_refused), (0, 0), "no code was sent");
    assert_eq!(visit(&back).status, 200);
    assert_eq!(login.end().0, 0);
    assert_eq!(world.get("code").status, 200);
    world.end();
}

#[test]
fn a_code_of_another_attempt_is_refused_by_its_verifier() {
    let world = World::start();
    let (mut mine, mut other) = (
        world.login(&["code", "--no-browser"]),
        world.login(&["code", "--no-browser"]),
    );
    let (_, page) = (mine.line("http://"), other.line("http://"));
    // A bare code has no state: only the verifier ties it to its attempt.
    mine.say(&parameter(&redirected(&page), "code"));
    let (code, said) = mine.end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("invalid_grant"), "{said}");
    assert_eq!(world.counted().codes_refused, 1);
    other.kill();
    assert_eq!(world.get("code").status, 503);
    world.end();
}

#[test]
fn a_person_who_refuses_is_heard() {
    let world = World::start();
    world.idp.person(Person::Refuses);
    let mut login = world.login(&["code"]);
    let page = login.line("http://");
    let told = visit(&redirected(&page));
    assert_eq!(told.status, 502);
    let (code, said) = login.end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("access_denied (The person said no)"), "{said}");
    assert_eq!(world.get("code").status, 503);
}

#[test]
fn the_address_or_the_code_alone_may_be_pasted() {
    let world = World::start();
    for only_the_code in [false, true] {
        let mut login = world.login(&["code", "--no-browser"]);
        let back = redirected(&login.line("http://"));
        login.say(&match only_the_code {
            true => parameter(&back, "code"),
            false => back,
        });
        let (code, said) = login.end();
        assert_eq!(code, 0, "{said}");
        assert_eq!(world.get("code").status, 200);
    }
    assert_eq!(world.position("code"), (2, 1), "each sign-in begins a chain");

    let mut login = world.login(&["code", "--no-browser"]);
    login.line("http://");
    login.say("https://idp.example/signed-in");
    let (code, said) = login.end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("paste the whole address"), "{said}");
    world.end();
}

#[test]
fn a_registered_redirect_is_pasted() {
    let world = World::start();
    let mut login = world.login(&["registered"]);
    let page = login.line("http://");
    assert_eq!(parameter(&page, "redirect_uri"), REGISTERED);
    let back = redirected(&page);
    assert!(back.starts_with(REGISTERED), "{back}");
    login.say(&back);
    let (code, said) = login.end();
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.get("registered").status, 200);
    world.end();
}

#[test]
fn the_admin_listener_redirects_nobody_elsewhere_and_knows_its_attempts() {
    let world = World::start();
    let begin = |uri: &str| {
        world.post(
            "/credentials/code/login/begin",
            &format!(r#"{{"redirect_uri": "{uri}"}}"#),
        )
    };
    assert_eq!(begin("https://evil.example/callback").status, 409);
    assert_eq!(begin("http://127.0.0.1:1/callback").status, 200);
    let finish = world.post("/credentials/code/login/finish", r#"{"flow": "0", "pasted": "canary"}"#);
    assert_eq!(finish.status, 409);
    assert!(
        finish.body.contains("begin again") && !finish.body.contains("canary"),
        "{}",
        finish.body
    );
    let plain = world.post(
        "/credentials/code/login",
        r#"{"step": null, "answers": {"code": "canary"}}"#,
    );
    assert_eq!(plain.status, 409, "{}", plain.body);
    assert_eq!(world.counted().codes_refused, 0);
}
