//! Real processes, killed and stopped at every step of a spend, against the strict authorization server of the
//! demonstration, which counts. See docs/chaos.md.
//!
//! What runs by itself is short. `BEARERD_CHAOS_KILLS=2000` kills so many processes, and lets eight of them share each
//! store through 500 expiries, with and without random kills; `BEARERD_CHAOS_STORE=postgres` or `redis` lets the others
//! keep their state there.

mod answers;
mod blow;
mod chance;
mod clocks;
mod cuts;
mod kills;
mod lane;
mod mined;
mod outages;
mod point;
mod process;
#[path = "../servers/mod.rs"]
mod servers;
mod shared;
mod stops;
mod table;
mod time;

use blow::Blow;
use cuts::Scene;
use lane::Store;
use point::Setup;

/// How many processes to kill, where somebody asks for it.
fn asked_kills() -> Option<usize> {
    let asked = std::env::var("BEARERD_CHAOS_KILLS").ok()?;
    Some(asked.parse().expect("BEARERD_CHAOS_KILLS is a number"))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    // Processes are started and waited for on these threads; the servers, whose answers are due in time, share them.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(16)
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

/// Runs as a test of its own, and does nothing unless another one asks for it.
#[test]
fn a_process() {
    if let Some(config) = std::env::var_os(process::CONFIG) {
        process::run(config.into());
    }
}

/// The store that somebody asks for, and its server.
fn asked_store() -> (Store, Option<servers::Running>) {
    let asked = std::env::var("BEARERD_CHAOS_STORE").unwrap_or_default();
    match asked.as_str() {
        "postgres" => {
            let server = servers::postgres(&[], &["fsync=off"]).expect("PostgreSQL is installed");
            (Store::Postgres(server.port), Some(server))
        }
        "redis" => {
            let server = servers::redis(&[], &[]).expect("Redis is installed");
            (Store::Redis(server.port), Some(server))
        }
        "" | "sqlite" => (Store::Sqlite, None),
        other => panic!("BEARERD_CHAOS_STORE is sqlite, postgres or redis, not {other}"),
    }
}

/// Each point of each set-up once.
const EACH_ONCE: usize = 61;

#[test]
fn killed_at_every_step_of_a_spend() {
    let (kills, lanes) = asked_kills().map_or((EACH_ONCE, 4), |kills| (kills, 6));
    let (store, _server) = asked_store();
    let table = run(kills::kill(kills, lanes, store));
    kills::show(&table);
    kills::judge(&table);
}

#[test]
fn stopped_at_every_step_of_a_spend() {
    let stopped = run(stops::stop());
    stops::show(&stopped);
    stops::judge(&stopped);
}

/// Law 1, over processes: as many spends as expiries, and every caller is served.
fn one_spend_for_each_expiry(what: &str, store: Store) {
    let (processes, expiries) = if asked_kills().is_some() { (8, 500) } else { (3, 20) };
    let shared = run(shared::share(Setup::Neither, store, processes, expiries, None));
    shared::show(
        &format!("{processes} processes share {what}, {expiries} expiries"),
        &shared,
    );
    assert_eq!(shared.errors, Vec::<String>::new());
    assert_eq!(
        (shared.spends, shared.reuses, shared.families_revoked, shared.sign_ins),
        (expiries as u64, 0, 0, 0)
    );
}

#[test]
fn processes_share_sqlite() {
    one_spend_for_each_expiry("SQLite", Store::Sqlite);
}

#[test]
fn processes_share_postgresql() {
    if let Some(server) = servers::postgres(&[], &["fsync=off"]) {
        one_spend_for_each_expiry("PostgreSQL", Store::Postgres(server.port));
    }
}

#[test]
fn processes_share_redis() {
    if let Some(server) = servers::redis(&[], &[]) {
        one_spend_for_each_expiry("Redis", Store::Redis(server.port));
    }
}

/// Processes are killed at random, in their spends and elsewhere: the others' callers see no error.
fn survivors(what: &str, store: Store) {
    // A kill in a spend takes a lease.
    let (processes, expiries, kill_every) = if asked_kills().is_some() {
        (8, 500, 8)
    } else {
        (3, 8, 3)
    };
    for setup in [Setup::SignIn, Setup::Grace] {
        let shared = run(shared::share(setup, store, processes, expiries, Some(kill_every)));
        shared::show(
            &format!("{processes} processes share {what}, {expiries} expiries, random kills, {setup}"),
            &shared,
        );
        assert_eq!(shared.errors, Vec::<String>::new());
        assert_eq!((shared.reuses, shared.families_revoked), (0, 0));
        assert!(shared.kills > 0, "nobody was killed");
    }
}

#[test]
fn survivors_on_sqlite() {
    survivors("SQLite", Store::Sqlite);
}

#[test]
fn survivors_on_postgresql() {
    if let Some(server) = servers::postgres(&[], &["fsync=off"]) {
        survivors("PostgreSQL", Store::Postgres(server.port));
    }
}

#[test]
fn survivors_on_redis() {
    if let Some(server) = servers::redis(&[], &[]) {
        survivors("Redis", Store::Redis(server.port));
    }
}

/// Lets the store be cut off or slow at each verb.
fn store_is_hit(blow: Blow, scene: Scene) {
    let (store, _server) = asked_store();
    let cases = run(cuts::hit(blow, scene, store));
    table::show(&format!("{} {scene}", cuts::words(blow)), &cases);
    cuts::judge(scene, &cases);
}

#[test]
fn cut_off_from_the_store_alone() {
    store_is_hit(Blow::Cut, Scene::Alone);
}

#[test]
fn cut_off_from_the_store_beside_another() {
    store_is_hit(Blow::Cut, Scene::Beside);
}

#[test]
fn cut_off_from_the_store_while_the_token_is_good() {
    store_is_hit(Blow::Cut, Scene::Ahead);
}

#[test]
fn the_store_is_slower_than_a_lease() {
    store_is_hit(Blow::Delay, Scene::Alone);
}

#[test]
fn the_store_is_slower_than_a_lease_beside_another() {
    store_is_hit(Blow::Delay, Scene::Beside);
}

#[test]
fn the_store_is_slower_than_a_lease_while_the_token_is_good() {
    store_is_hit(Blow::Delay, Scene::Ahead);
}

/// Crashes a real server, at some verbs or at all of them.
fn server_crashes(what: &str, store: fn(u16) -> Store, server: Option<servers::Running>) {
    let Some(mut server) = server else { return };
    let step = if asked_kills().is_some() { 1 } else { 3 };
    let cases = run(outages::crash(store(server.port), &mut server, step));
    table::show(&format!("{what} crashes:"), &cases);
    outages::judge(&cases);
}

#[test]
fn postgresql_crashes() {
    server_crashes("PostgreSQL", Store::Postgres, servers::postgres(&[], &["fsync=off"]));
}

#[test]
fn redis_crashes() {
    server_crashes("Redis", Store::Redis, servers::redis(&[], &[]));
}

#[test]
fn answers_are_dropped_or_late() {
    let (store, _server) = asked_store();
    for (ahead, when) in [(false, "token revoked"), (true, "token good")] {
        let cases = run(answers::befall(ahead, store));
        table::show(&format!("answer of the token endpoint: {when}"), &cases);
        answers::judge(ahead, &cases);
    }
}

#[test]
fn clocks_jump_at_every_step_of_a_spend() {
    let (store, _server) = asked_store();
    for jump in clocks::Jump::ALL {
        let cases = run(clocks::jump(jump, store));
        table::show(&format!("{jump} at"), &cases);
        clocks::judge(&cases);
    }
}
