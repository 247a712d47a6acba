//! Real processes, killed and stopped at every step of a spend, against the strict authorization server of the
//! demonstration, which counts. See docs/chaos.md.
//!
//! What runs by itself is short. `BEARERD_CHAOS_KILLS=2000` kills so many processes, and lets eight of them share each
//! store through 500 expiries; `BEARERD_CHAOS_STORE=postgres` or `redis` lets the killed ones keep their state there.

mod kills;
mod lane;
mod mined;
mod point;
mod process;
#[path = "../servers/mod.rs"]
mod servers;
mod shared;
mod stops;
mod time;

use lane::Store;
use point::Setup;

/// How many processes to kill, where somebody asks for it.
fn asked_kills() -> Option<usize> {
    let asked = std::env::var("BEARERD_CHAOS_KILLS").ok()?;
    Some(asked.parse().expect("BEARERD_CHAOS_KILLS is a number"))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
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

/// Each point of each set-up once.
const EACH_ONCE: usize = 61;

#[test]
fn killed_at_every_step_of_a_spend() {
    let (kills, lanes) = asked_kills().map_or((EACH_ONCE, 4), |kills| (kills, 6));
    let asked = std::env::var("BEARERD_CHAOS_STORE").unwrap_or_default();
    let (store, _server) = match asked.as_str() {
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
    };
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

#[test]
fn callers_of_the_survivors_see_no_error() {
    // A kill in a spend takes a lease.
    let (processes, expiries) = if asked_kills().is_some() { (8, 200) } else { (3, 8) };
    for setup in [Setup::SignIn, Setup::Grace] {
        let shared = run(shared::share(setup, Store::Sqlite, processes, expiries, Some(4)));
        shared::show(
            &format!("{processes} processes share SQLite, {expiries} expiries, one killed at every fourth, {setup}"),
            &shared,
        );
        assert_eq!(shared.errors, Vec::<String>::new());
        assert_eq!((shared.reuses, shared.families_revoked), (0, 0));
        assert!(shared.kills > 0, "nobody was killed in a spend");
    }
}
