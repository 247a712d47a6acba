//! The page as a person sees it.

use std::{fs, path::PathBuf};

use rustix::process::Signal;

use crate::{
    devtools::Page,
    world::{BROKEN, World},
};

const WORKING: [&str; 8] = [
    "flow",
    "flow_device",
    "flow_user",
    "flowlu",
    "flowlu_oauth",
    "fluent",
    "fluent_integration",
    "pos",
];

fn card(name: &str, part: &str) -> String {
    format!("#credential-{name} {part}")
}

/// The seconds that a credential's countdown shows.
fn seconds(browser: &mut Page, name: &str) -> u32 {
    let text = browser.text(&card(name, ".left b"));
    text.trim_end_matches(" s")
        .parse()
        .unwrap_or_else(|_| panic!("{name}: {text}"))
}

fn use_it(mut world: World) {
    let Some(mut browser) = Page::open(&format!("http://{}/", world.admin)) else {
        return;
    };
    // Everybody is there, and nobody has asked for anything.
    browser.until_says("#link", "live");
    for name in WORKING.into_iter().chain(BROKEN) {
        browser.until_says(&card(name, "h3"), name);
    }
    browser.until_says(&card("fluent_integration", ".state"), "Idle");
    browser.until_says("#verdict", "All is well");
    // It would be gone if the page were loaded again.
    browser.eval("window.isTheSamePage = true");

    let target = "/fluent-integration/api/v4.1/order/1001";
    assert_eq!(world.call(target), 200);
    browser.until_says(&card("fluent_integration", ".state"), "Working");
    browser.until_says(&card("fluent_integration", ".where"), "generation 1 of chain 1");
    let first = seconds(&mut browser, "fluent_integration");
    assert!((1..=20).contains(&first), "{first}");
    // It goes down by itself.
    let left = format!(
        "document.querySelector({:?}).innerText",
        card("fluent_integration", ".left b")
    );
    browser.until(&format!("parseInt({left}) < {first}"));
    let label = browser.eval(&format!(
        "document.querySelector({:?}).getAttribute('aria-label')",
        card("fluent_integration", ".life")
    ));
    assert!(label.as_str().unwrap().contains("its renewal is planned at"), "{label}");

    // A rotation is seen when it happens.
    browser.eval(&format!(
        "document.querySelector({:?}).click()",
        card("fluent_integration", "button")
    ));
    browser.until_says(&card("fluent_integration", ".said"), "has a new token: 1.2, it was 1.1");
    browser.until_says(&card("fluent_integration", ".where"), "generation 2 of chain 1");
    browser.until_says(&card("fluent_integration", ".history"), "Renewed by hand");

    // What is broken says what helps.
    assert_eq!((world.call("/till/v2/x"), world.call("/wrong/dishes")), (503, 503));
    browser.until_says(&card("till", ".state"), "A person has to sign in");
    browser.until_says(&card("till", ".trouble"), "bearerd login till link");
    browser.until_says(
        &card("wrong", ".trouble"),
        "Check the user name and password of credentials.wrong",
    );
    browser.until_says("#notices", "till: A person has to sign in.");
    browser.until_says("#verdict", "something to look at");
    browser.until("document.title === '(2) bearerd'");

    // Traffic is drawn.
    for _ in 0..20 {
        assert_eq!(world.call("/flowlu/api/v1/module/crm/lead/list"), 200);
    }
    browser.until_says("[aria-label='route flowlu']", "20 requests");
    browser.until_says("[aria-label='route wrong']", "1 failed");
    for path in ["ok", "half"] {
        browser.until(&format!(
            "document.querySelector(\"[aria-label='route flowlu'] .{path}\").getAttribute('d')"
        ));
    }

    // The log is changed.
    browser.eval("document.getElementById('level').value = 'debug'; document.getElementById('log').requestSubmit()");
    browser.until_says("#log-said", "the config says info");

    // A config that can't be used.
    world.rewrite(|config| config.replace("routes:", "rutes:"));
    browser.eval("document.getElementById('reload').click()");
    browser.until_says("#notices", "The config on disk is not in use");
    browser.until_says("#notices", "rutes");

    assert_eq!(browser.eval("window.isTheSamePage"), true);
    // The answers that say no are told there as well; nothing else is.
    let complaints = browser.complaints.iter();
    let others: Vec<_> = complaints
        .filter(|it| !it.contains("the server responded with a status of 422"))
        .collect();
    assert!(others.is_empty(), "{others:#?}");

    let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&pictures).unwrap();
    for (name, width, scheme) in [
        ("light", 1280, "light"),
        ("dark", 1280, "dark"),
        ("narrow", 390, "light"),
    ] {
        browser.look_as(width, scheme);
        let scrolls = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(scrolls, 0, "{name}: it is wider than the window");
        browser.picture(&pictures.join(format!("{name}.png")));
    }

    // It is said when nobody is there any more.
    world.program.signal(Signal::TERM);
    world.program.wait();
    browser.until_says("#link", "trying again");
    browser.until("document.body.hasAttribute('data-lost')");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_is_true_as_it_changes() {
    let world = World::new().await;
    tokio::task::spawn_blocking(|| use_it(world)).await.unwrap();
}
