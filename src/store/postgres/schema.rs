//! The tables, and their versions.

use tokio_postgres::{Client, types::Type};

use super::fault;
use crate::store::remote::Fault;

/// The version of the tables, kept in a note.
const VERSION: i64 = 1;

/// Of several processes that start at once, one makes the tables: the letters `brrd`.
const LOCK: i64 = 0x6272_7264;

/// Where a record stands is there for whoever looks with a tool; all of it is in `content`, sealed. `version` is of one
/// write, so that the next one knows what it has seen.
const TABLES: &str = "
    CREATE TABLE bearerd_record (
        key        text   PRIMARY KEY,
        version    text   NOT NULL,
        chain      bigint NOT NULL,
        generation bigint NOT NULL,
        content    text   NOT NULL
    );
    CREATE TABLE bearerd_note (
        name  text PRIMARY KEY,
        value text NOT NULL
    );
";

/// What a connection waits for at most, on the server too: a process that stops in the middle leaves nothing locked.
const SESSION: &str = "
    SET statement_timeout = '5s';
    SET lock_timeout = '3s';
    SET idle_in_transaction_session_timeout = '5s';
    SET client_min_messages = warning;
";

/// Makes the tables where there are none, and refuses those of a later version.
pub(super) async fn prepare(client: &mut Client) -> Result<(), Fault> {
    let tell = |error| fault::tell(&error);
    client.batch_execute(SESSION).await.map_err(tell)?;
    let transaction = client.transaction().await.map_err(tell)?;
    // From the table of tables: what is looked up by name is remembered, also that it wasn't there.
    let there = "SELECT EXISTS (SELECT FROM pg_tables \
                 WHERE tablename = 'bearerd_note' AND schemaname = ANY (current_schemas(false)))";
    let mut is_there: bool = transaction.query_typed(there, &[]).await.map_err(tell)?[0].get(0);
    if !is_there {
        let lock = "SELECT pg_advisory_xact_lock($1)";
        transaction
            .query_typed(lock, &[(&LOCK, Type::INT8)])
            .await
            .map_err(tell)?;
        // Another process may have made them while this one waited.
        is_there = transaction.query_typed(there, &[]).await.map_err(tell)?[0].get(0);
    }
    if !is_there {
        transaction.batch_execute(TABLES).await.map_err(tell)?;
        let note = "INSERT INTO bearerd_note (name, value) VALUES ('schema', $1)";
        transaction
            .query_typed(note, &[(&VERSION.to_string(), Type::TEXT)])
            .await
            .map_err(tell)?;
        transaction
            .batch_execute("SET LOCAL synchronous_commit = on")
            .await
            .map_err(tell)?;
    }
    let note = "SELECT value FROM bearerd_note WHERE name = 'schema'";
    let notes = transaction.query_typed(note, &[]).await.map_err(tell)?;
    let found = notes.first().and_then(|row| row.try_get::<_, String>(0).ok());
    match found.as_deref().and_then(|found| found.parse::<i64>().ok()) {
        Some(VERSION) => transaction.commit().await.map_err(tell),
        Some(found) if found > VERSION => Err(Fault::lasting(format!(
            "its tables were made by a later bearerd (schema {found}; this one knows {VERSION}); run that one, \
             or let state.url name another database"
        ))),
        _ => Err(super::odd()),
    }
}
