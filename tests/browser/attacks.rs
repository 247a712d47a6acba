//! Pages against listeners, counted at the API.

use std::process::{Command, Stdio};

use crate::{
    chromium::{Chromium, is_there},
    world::{Arrived, ONE_BROWSER, World, until},
};

/// Which of these tries the API saw is the question; that bearerd saw them shows that it was asked.
const TRIES: [&str; 30] = [
    "fetch-cors",
    "fetch-no-cors",
    "fetch-credentials",
    "fetch-post-text",
    "fetch-keepalive",
    "fetch-head",
    "fetch-put",
    "fetch-delete",
    "fetch-post-json",
    "beacon",
    "form-urlencoded",
    "form-text",
    "form-multipart",
    "form-get",
    "img",
    "img-cors",
    "img-redirected",
    "script",
    "module",
    "style",
    "iframe",
    "fetch-sandboxed",
    "form-sandboxed",
    "object",
    "audio",
    "websocket",
    "events",
    "open",
    "open-with-opener",
    "link",
];

/// Opens this page, with every name that ends in `.example` being this machine.
fn open(url: &str) -> Option<Chromium> {
    let silent = |program: &str| {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let arguments = [
        "--disable-popup-blocking",
        // The browser's own rules for local addresses are not what is tested, and others have none.
        "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
        "--host-resolver-rules=MAP *.example 127.0.0.1",
        "--remote-debugging-port=0",
        url,
    ];
    Chromium::start(silent, &arguments)
}

async fn a_page_reaches_nothing(host: &str) {
    let world = World::new().await;
    let Some(_browser) = open(&format!("http://{host}:{}/attack", world.site.port())) else {
        return;
    };
    until(&world.told, |told| told.iter().any(|told| told == "/told/settled")).await;
    let has = |arrived: &[Arrived], name: &str| arrived.iter().any(|arrived| arrived.name == name);
    // Media is loaded when the browser has nothing better to do.
    let everything = |arrived: &[Arrived]| {
        let tried = |name: &&str| *name == "audio" || (has(arrived, name) && has(arrived, &format!("admin-{name}")));
        TRIES.iter().all(tried) && has(arrived, "navigation")
    };
    let arrived = until(&world.arrived, everything).await;
    assert_eq!(*world.api.borrow(), Vec::<String>::new(), "{arrived:#?}");
    // An icon that the browser asks for by itself is of no one's making.
    for arrived in arrived.iter().filter(|arrived| arrived.name != "favicon.ico") {
        let code = arrived.code.as_deref();
        assert!(matches!(code, Some("browser_refused" | "unknown_host")), "{arrived:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_reaches_no_api() {
    let _lock = ONE_BROWSER.lock().await;
    a_page_reaches_nothing("www.example").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_port_of_this_machine_reaches_no_api() {
    let _lock = ONE_BROWSER.lock().await;
    a_page_reaches_nothing("localhost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_becomes_this_machine_reaches_no_api() {
    let _lock = ONE_BROWSER.lock().await;
    let world = World::new().await;
    let Some(_browser) = open(&format!("http://rebound.example:{}/rebound", world.rebound.port())) else {
        return;
    };
    let arrived = until(&world.arrived, |arrived| {
        arrived.iter().any(|it| it.name == "rebound-navigation")
    })
    .await;
    for name in ["rebound-get", "rebound-post", "rebound-navigation"] {
        let found = arrived.iter().find(|arrived| arrived.name == name).unwrap();
        assert_eq!(found.host, format!("rebound.example:{}", world.rebound.port()));
        assert_eq!(found.code.as_deref(), Some("unknown_host"), "{found:?}");
    }
    assert_eq!(*world.api.borrow(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_came_through_bearerd_uses_it() {
    let _lock = ONE_BROWSER.lock().await;
    let world = World::new().await;
    let Some(_browser) = open(&format!("http://localhost:{}/api/page", world.proxy.port())) else {
        return;
    };
    let calls = until(&world.api, |calls| calls.iter().any(|call| call == "POST /own-form")).await;
    for call in ["GET /page", "GET /own-get", "PUT /own-put", "GET /own-img"] {
        assert!(calls.iter().any(|seen| seen == call), "{call}: {calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_uses_it() {
    if !is_there("curl") {
        assert!(
            std::env::var_os("BEARERD_TESTS_DEMAND").is_none(),
            "curl is not installed"
        );
        println!("skipped: curl is not installed");
        return;
    }
    let world = World::new().await;
    let url = format!("http://localhost:{}/api/curl", world.proxy.port());
    let admin = format!("http://127.0.0.1:{}/status", world.admin.port());
    let curl = move || {
        Command::new("curl")
            .args(["-sf", &url, &admin, "--noproxy", "*"])
            .output()
    };
    let output = tokio::task::spawn_blocking(curl).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(*world.api.borrow(), ["GET /curl"]);
}
