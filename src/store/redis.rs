//! The store in a Redis server, for those who have nothing else that machines share.
//!
//! A record is a hash of its version, position and content; it never expires. What Redis acknowledges survives it only
//! if it appends each write to its file and syncs that, and evicts nothing: it is refused otherwise, unless its operator
//! accepts the loss. After a failover to a replica even that doesn't help.

mod fault;

use std::{fmt, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, RedisError, aio::MultiplexedConnection,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, task::AbortHandle};

use super::{
    Key,
    remote::{Fault, Row, Server, Snapshot, Tls, connect},
};
use crate::credential::token::Position;

/// A Redis server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Encrypts the connection; without it, it is plain.
    pub tls: Option<Tls>,
    /// Who to be (ACL); without it, the default user.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<SecretString>,
    /// The number of the database.
    pub database: u32,
    /// Whether what was acknowledged may be lost.
    pub accept_loss: bool,
}

/// How long one command may take. A sync of the file is part of each write.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(4);

/// What its file must be like, so that what it acknowledges survives it
/// (<https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/>).
const DURABLE: [(&str, &str); 3] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("maxmemory-policy", "noeviction"),
];

/// Reads the clock and a record, at one moment.
const READ: &str = "
    return { redis.call('TIME'), redis.call('HMGET', KEYS[1], 'version', 'position', 'content') }
";

/// Writes a record, or removes it where there is no new version, if the version is the one that was seen.
const SWAP: &str = "
    if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
    if ARGV[2] == '' then
        redis.call('DEL', KEYS[1])
    else
        redis.call('HSET', KEYS[1], 'version', ARGV[2], 'position', ARGV[3], 'content', ARGV[4])
    end
    return 1
";

/// Writes a note if it is what was seen.
const SWAP_NOTE: &str = "
    if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[2])
    return 1
";

const RECORDS: &str = "bearerd:record:";
const NOTES: &str = "bearerd:note:";
/// The version of all this, as a note.
const VERSION: &str = "1";

/// A server, and the connection to it once there is one.
pub(super) struct Redis {
    settings: Settings,
    link: Mutex<Option<Link>>,
}

/// A connection, and the task that drives it.
#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    task: AbortHandle,
}

impl Redis {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            link: Mutex::default(),
        }
    }

    /// The connection, made anew where the last one has ended.
    async fn link(&self) -> Result<Link, Fault> {
        let mut link = self.link.lock().await;
        if let Some(link) = link.as_ref().filter(|link| !link.task.is_finished()) {
            return Ok(link.clone());
        }
        let fresh = self.connect().await?;
        *link = Some(fresh.clone());
        Ok(fresh)
    }

    async fn connect(&self) -> Result<Link, Fault> {
        let Settings {
            host,
            port,
            tls,
            username,
            password,
            database,
            ..
        } = &self.settings;
        let stream = connect(host, *port, tls.as_ref()).await?;
        let mut who = RedisConnectionInfo::default()
            .set_db(i64::from(*database))
            .set_skip_set_lib_name();
        if let Some(username) = username {
            who = who.set_username(username);
        }
        if let Some(password) = password {
            who = who.set_password(password.expose_secret());
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(COMMAND_TIMEOUT));
        let (connection, driver) = tokio::time::timeout(
            COMMAND_TIMEOUT,
            MultiplexedConnection::new_with_config(&who, stream, config),
        )
        .await
        .map_err(|_| Fault::passing("it accepts connections and says nothing; see that it runs"))?
        .map_err(|error| fault::tell(&error))?;
        let mut link = Link {
            connection,
            task: tokio::spawn(driver).abort_handle(),
        };
        self.prepare(&mut link.connection).await?;
        Ok(link)
    }

    /// Asked on each new connection: after a failover, another server may answer.
    async fn prepare(&self, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
        if !self.settings.accept_loss {
            durable(connection).await?;
        }
        let note = format!("{NOTES}schema");
        // Read first: a server that takes no writes just now still tells what it holds.
        let mut get = ::redis::cmd("GET");
        get.arg(&note);
        let mut found: Option<String> = get.query_async(connection).await.map_err(|error| fault::tell(&error))?;
        if found.is_none() {
            let mut versions = Pipeline::new();
            versions.cmd("SET").arg(&note).arg(VERSION).arg("NX").ignore();
            versions.add_command(get);
            let (made,): (String,) = versions
                .query_async(connection)
                .await
                .map_err(|error| fault::tell(&error))?;
            found = Some(made);
        }
        if let Some(found) = found.filter(|found| found != VERSION) {
            return Err(Fault::lasting(format!(
                "its records were made by another bearerd (version {found}; this one knows {VERSION}); \
                 run that one, or let state.url name another database"
            )));
        }
        Ok(())
    }

    async fn ask<A: FromRedisValue>(&self, command: &Cmd) -> Result<A, Fault> {
        let mut link = self.link().await?;
        let answer = command.query_async(&mut link.connection).await;
        self.answered(answer).await
    }

    /// A connection that failed is given up, and the next command makes another.
    async fn answered<A>(&self, answer: Result<A, RedisError>) -> Result<A, Fault> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.is_unrecoverable_error() || error.is_timeout() || fault::is_elsewhere(&error) {
                    self.hang_up().await;
                }
                Err(fault::tell(&error))
            }
        }
    }
}

/// Whether what it acknowledges survives it.
async fn durable(connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    for (name, wanted) in DURABLE {
        let settings: Result<Vec<String>, _> = ::redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query_async(connection)
            .await;
        let found = match settings {
            Ok(pair) => pair.into_iter().nth(1),
            Err(error) if error.is_io_error() => return Err(fault::tell(&error)),
            Err(_) => None,
        };
        let why = match found {
            Some(found) if found == wanted => continue,
            Some(found) => format!("its {name} is {found}, so what it acknowledges may be lost; set `{name} {wanted}`"),
            None => format!(
                "it doesn't tell its {name} (CONFIG is forbidden), so nobody knows whether it keeps what it \
                             acknowledges; let bearerd's user call CONFIG GET, and set `{name} {wanted}`"
            ),
        };
        return Err(Fault::lasting(format!(
            "{why}, or say `accept_loss: true` under state: a lost rotation means that a person signs in again"
        )));
    }
    Ok(())
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Server for Redis {
    const STORE: &'static str = "redis";

    async fn read(&self, key: &str) -> Result<Snapshot, Fault> {
        type Fields = (Option<String>, Option<String>, Option<String>);
        let mut command = ::redis::cmd("EVAL");
        command.arg(READ).arg(1).arg(format!("{RECORDS}{key}"));
        let ((seconds, micros), fields): ((u64, u64), Fields) = self.ask(&command).await?;
        let row = match fields {
            (None, None, None) => None,
            (Some(version), Some(position), Some(content)) => Some(Row {
                version,
                position: position_of(&position).ok_or_else(|| odd(key))?,
                content,
            }),
            _ => return Err(odd(key)),
        };
        Ok(Snapshot {
            row,
            now: seconds * 1000 + micros / 1000,
        })
    }

    async fn swap(&self, key: &str, seen: Option<&str>, row: Option<&Row>) -> Result<bool, Fault> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(SWAP).arg(1).arg(format!("{RECORDS}{key}"));
        command.arg(seen.unwrap_or_default());
        match row {
            Some(row) => {
                command
                    .arg(&row.version)
                    .arg(row.position.to_string())
                    .arg(&row.content);
            }
            None => {
                command.arg("");
            }
        }
        self.ask(&command).await
    }

    async fn note(&self, name: &str) -> Result<Option<String>, Fault> {
        self.ask(::redis::cmd("GET").arg(format!("{NOTES}{name}"))).await
    }

    async fn swap_note(&self, name: &str, seen: Option<&str>, value: &str) -> Result<bool, Fault> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(SWAP_NOTE).arg(1).arg(format!("{NOTES}{name}"));
        command.arg(seen.unwrap_or_default()).arg(value);
        self.ask(&command).await
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<(String, bool)>, Fault> {
        let mut keys = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = ::redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(format!("{RECORDS}*"))
                .arg("COUNT")
                .arg(500);
            let (next, names): (u64, Vec<String>) = self.ask(&scan).await?;
            for name in names {
                let Some(key) = name.strip_prefix(RECORDS) else {
                    continue;
                };
                let content: Result<Option<String>, _> = self.ask(::redis::cmd("HGET").arg(&name).arg("content")).await;
                let is_as_wanted = match content {
                    Ok(content) => content.is_some_and(|content| content.starts_with(prefix)),
                    Err(fault) if fault.passing => return Err(fault),
                    // Something else has that name: told when it is asked for.
                    Err(_) => false,
                };
                keys.push((key.to_owned(), is_as_wanted));
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        // A scan may tell the same key twice.
        keys.sort();
        keys.dedup_by(|a, b| a.0 == b.0);
        Ok(keys)
    }

    async fn hang_up(&self) {
        // Whoever is connecting right now has its own deadline.
        if let Ok(mut link) = self.link.try_lock()
            && let Some(link) = link.take()
        {
            link.task.abort();
        }
    }

    fn mend(&self, key: &Key) -> String {
        format!("DEL {RECORDS}{}", key.as_str())
    }
}

fn position_of(text: &str) -> Option<Position> {
    let (chain, generation) = text.split_once('.')?;
    Some(Position {
        chain: chain.parse().ok()?,
        generation: generation.parse().ok()?,
    })
}

fn odd(key: &str) -> Fault {
    Fault::lasting(format!(
        "{RECORDS}{key} isn't a record of bearerd; let state.url name another database, or DEL it and sign in again"
    ))
}

#[cfg(test)]
mod tests;
