//! What goes wrong with the server, in words that say what to do.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::remote::Fault;

/// Whether another server than this one takes writes: a connection made anew may reach it.
pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading)
    )
}

/// For an operator. The server's messages can quote what was sent to it, so only their first words are told.
pub(super) fn tell(error: &RedisError) -> Fault {
    let code = error.code().unwrap_or("an error").to_owned();
    let advice = match error.kind() {
        ErrorKind::AuthenticationFailed => {
            return Fault::lasting(
                "it lets nobody in by this user and password; check state.username and state.password",
            );
        }
        ErrorKind::Io => {
            return Fault::passing(if error.is_timeout() {
                "it did not answer in time; see that it runs, and how long its disk takes to sync".to_owned()
            } else {
                format!(
                    "the connection failed ({}); see that it runs, and check state.url",
                    error
                )
            });
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            "its user may not do that; let it call EVAL, GET, SET, HGET, HMGET, HSET, DEL, SCAN and TIME on bearerd:*"
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            "it takes no writes (a replica); let state.url name the primary"
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading) => "it is loading its file",
        ErrorKind::Server(ServerErrorKind::MasterDown) => "it is a replica whose primary is down",
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot) => {
            return Fault::lasting(
                "it is part of a cluster, which bearerd doesn't follow; let state.url name a server alone",
            );
        }
        _ => match code.as_str() {
            "NOAUTH" | "WRONGPASS" => {
                return Fault::lasting(
                    "it lets nobody in by this user and password; check state.username and state.password",
                );
            }
            "OOM" => "its memory is full; raise maxmemory, saving is tried again",
            "MISCONF" => "it can't write its file; see its log and its disk, saving is tried again",
            "NOREPLICAS" => "it has fewer replicas than min-replicas-to-write; saving is tried again",
            "WRONGTYPE" => "something else than a record has its name; let state.url name another database",
            "BUSY" => "it is busy with somebody's script",
            _ => "see its log",
        },
    };
    let reason = format!("the server said {code}: {advice}");
    match code.as_str() {
        _ if is_elsewhere(error) => Fault::passing(reason),
        "BUSY" => Fault::passing(reason),
        "OOM" | "MISCONF" | "NOREPLICAS" => Fault::standing(reason),
        _ => Fault::lasting(reason),
    }
}
