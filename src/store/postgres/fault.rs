//! What goes wrong with the database, in words that say what to do.

use std::error::Error as _;

use tokio_postgres::{
    Error,
    error::{DbError, SqlState},
};

use crate::store::remote::Fault;

/// For an operator. The server's messages can quote what was sent to it, so only its codes are told.
pub(super) fn tell(error: &Error) -> Fault {
    match error.as_db_error() {
        Some(error) => of_server(error),
        None if error.is_closed() => Fault::passing("the connection was lost; see that the server runs"),
        None => of_connection(error),
    }
}

/// The client's own errors are about the connection, and name at most addresses.
fn of_connection(error: &Error) -> Fault {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if !words.contains(&cause.to_string()) {
            words = format!("{words}: {cause}");
        }
        source = cause.source();
    }
    let is_about_tls = words.contains("TLS") || words.contains("certificate");
    if is_about_tls {
        return Fault::lasting(format!("{words}; check state.tls, and sslmode in state.url"));
    }
    if words.contains("password") || words.contains("authentication") {
        return Fault::lasting(format!("{words}; check the user in state.url, and state.password"));
    }
    Fault::passing(format!("{words}; see that the server runs, and check state.url"))
}

fn of_server(error: &DbError) -> Fault {
    let code = error.code();
    let advice = match code {
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "it lets nobody in by this user and password; check the user in state.url, state.password, and pg_hba.conf"
        }
        &SqlState::INVALID_CATALOG_NAME => "there is no database of that name; make it, or check state.url",
        &SqlState::INSUFFICIENT_PRIVILEGE => {
            "its user may not do that; let it make tables (GRANT CREATE ON SCHEMA public TO …), \
             or make it the owner of bearerd_record and bearerd_note"
        }
        &SqlState::DISK_FULL => "its disk is full; free some space, saving is tried again",
        &SqlState::OUT_OF_MEMORY => "it is out of memory",
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            "it takes no writes (a standby, or read-only); let state.url name the primary"
        }
        &SqlState::LOCK_NOT_AVAILABLE | &SqlState::QUERY_CANCELED => {
            "it took too long; see who holds a lock on bearerd_record (pg_locks)"
        }
        &SqlState::TOO_MANY_CONNECTIONS => "it has too many connections; raise max_connections, or use a pooler",
        &SqlState::CANNOT_CONNECT_NOW => "it is starting or stopping",
        &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN => "it was stopped",
        &SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN => return super::odd(),
        _ => "see https://www.postgresql.org/docs/current/errcodes-appendix.html",
    };
    let reason = format!("the server said {}: {advice}", code.code());
    let mends = matches!(
        code,
        &SqlState::DISK_FULL
            | &SqlState::OUT_OF_MEMORY
            | &SqlState::READ_ONLY_SQL_TRANSACTION
            | &SqlState::QUERY_CANCELED
            | &SqlState::IO_ERROR
    );
    let passing = matches!(
        code,
        &SqlState::CANNOT_CONNECT_NOW
            | &SqlState::ADMIN_SHUTDOWN
            | &SqlState::CRASH_SHUTDOWN
            | &SqlState::TOO_MANY_CONNECTIONS
            | &SqlState::T_R_SERIALIZATION_FAILURE
            | &SqlState::T_R_DEADLOCK_DETECTED
            | &SqlState::LOCK_NOT_AVAILABLE
            | &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
    );
    match (passing, mends) {
        (true, _) => Fault::passing(reason),
        (_, true) => Fault::standing(reason),
        _ => Fault::lasting(reason),
    }
}
