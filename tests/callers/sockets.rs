//! Callers on Unix sockets, and who may connect to those.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use rustix::process::{getegid, geteuid};

use crate::{
    client::Ask,
    world::{api, config, not_allowed, reload, start, told, unknown},
};

#[test]
fn a_user_is_known_by_the_socket() {
    let api = api();
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let routes = ", cron: { prefix: /cron, upstream: shop, callers: [cron] }";
    let main = |callers: &str| format!("{{ bind: \"unix:DIR/main.sock\", callers: {{ {callers} }} }}");
    let own = format!("cron: {{ user: {user} }}, team: {{ group: {group} }}");
    let program = start(&api, &main(&own), routes);
    let socket = program.place.path("main.sock");
    let send = |target: &str| told(&Ask::get(target).send_unix(&socket));
    assert_eq!((send("/all/x"), send("/cron/x")), ((200, None), (200, None)));

    let others = format!("cron: {{ user: {} }}, team: {{ group: {group} }}", user + 1);
    program.place.configure(&config(&api, &main(&others), routes));
    reload(&program);
    assert_eq!((send("/all/x"), send("/cron/x")), ((200, None), not_allowed()));

    let strangers = format!("cron: {{ user: {} }}, team: {{ group: {} }}", user + 1, group + 1);
    program.place.configure(&config(&api, &main(&strangers), routes));
    reload(&program);
    assert_eq!((send("/all/x"), send("/cron/x")), (unknown(), unknown()));
    assert_eq!(api.seen().len(), 3);
}

#[test]
fn a_sockets_mode_and_group_are_as_configured_and_change_with_the_config() {
    let api = api();
    let group = getegid().as_raw();
    let main = |settings: &str| format!("{{ bind: \"unix:DIR/main.sock\"{settings} }}");
    let program = start(&api, &main(&format!(", mode: 0660, group: {group}")), "");
    let socket = program.place.path("main.sock");
    let seen = || {
        let there = fs::metadata(&socket).unwrap();
        (there.permissions().mode() & 0o777, there.gid(), there.ino())
    };
    let (mode, owned_by, inode) = seen();
    assert_eq!((mode, owned_by), (0o660, group));
    for (settings, mode) in [("", 0o600), (", mode: \"0666\"", 0o666)] {
        program.place.configure(&config(&api, &main(settings), ""));
        reload(&program);
        assert_eq!(seen(), (mode, group, inode), "the same socket");
        assert_eq!(told(&Ask::get("/all/x").send_unix(&socket)), (200, None));
    }
    let left: Vec<_> = fs::read_dir(program.place.folder.path()).unwrap().flatten().collect();
    assert!(
        left.iter()
            .all(|entry| !entry.file_name().to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}

#[test]
fn an_owner_that_may_not_be_given_is_said_at_the_start() {
    if geteuid().is_root() {
        // Root may give it to anybody.
        let api = api();
        let program = start(
            &api,
            "{ bind: \"unix:DIR/main.sock\", owner: 65534, group: 65534, mode: \"0600\" }",
            "",
        );
        let there = fs::metadata(program.place.path("main.sock")).unwrap();
        assert_eq!((there.uid(), there.gid()), (65534, 65534));
        return;
    }
    let api = api();
    let place = crate::world::place(&api);
    place.configure(&config(&api, "{ bind: \"unix:DIR/main.sock\", owner: 0 }", ""));
    let said = place.ask(&["run"]);
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains("main.sock can't be bound"), "{}", said.errors);
    assert!(!place.path("main.sock").exists());
}
