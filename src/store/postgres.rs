//! The store in a PostgreSQL database, which many machines may share.
//!
//! Each command is one statement and so a transaction of its own, durable whatever `synchronous_commit` is for others.
//! Nothing is prepared or set for longer than it takes, so that a pooler may stand between.

mod changes;
mod fault;
mod schema;

use std::{fmt, sync::Arc};

use tokio::{sync::Mutex, task::AbortHandle};
use tokio_postgres::{
    Client, Config, NoTls,
    types::{ToSql, Type},
};

use self::changes::Changes;
use super::{
    Key,
    remote::{CONNECT_TIMEOUT, Fault, MakeTls, Row, Server, Snapshot, Tls},
};
use crate::credential::token::Position;

/// A PostgreSQL server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is, and who to be there.
    pub server: Config,
    /// Encrypts the connection; without it, it is plain.
    pub tls: Option<Tls>,
}

/// As `SET LOCAL synchronous_commit = on`, within the statement that it belongs to; what is stronger stays.
const DURABLE: &str = "WITH durable AS MATERIALIZED (
    SELECT CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply') THEN ''
                ELSE set_config('synchronous_commit', 'on', true) END AS set
)";

/// A server, and the connection to it once there is one.
pub(super) struct Postgres {
    settings: Settings,
    link: Mutex<Option<Arc<Link>>>,
    changes: Changes,
}

/// A connection, and the task that drives it.
struct Link {
    client: Client,
    task: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Postgres {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            link: Mutex::default(),
            changes: Changes::default(),
        }
    }

    /// The connection, made anew where the last one has ended.
    async fn link(&self) -> Result<Arc<Link>, Fault> {
        let mut link = self.link.lock().await;
        if let Some(link) = link.as_ref().filter(|link| !link.client.is_closed()) {
            return Ok(link.clone());
        }
        let silent =
            |_| Fault::passing("it accepts connections and says nothing; see that it runs, and check state.url");
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await;
        let fresh = Arc::new(connected.map_err(silent)??);
        *link = Some(fresh.clone());
        Ok(fresh)
    }

    async fn connect(&self) -> Result<Link, Fault> {
        let Settings { server, tls } = &self.settings;
        let (client, task) = match tls {
            Some(tls) => {
                let (client, connection) = server
                    .connect(MakeTls(tls.clone()))
                    .await
                    .map_err(|error| fault::tell(&error))?;
                // How it ended is told to whoever waits for an answer.
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
            None => {
                let (client, connection) = server.connect(NoTls).await.map_err(|error| fault::tell(&error))?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        let mut link = Link {
            client,
            task: task.abort_handle(),
        };
        schema::prepare(&mut link.client).await?;
        Ok(link)
    }

    async fn query(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<tokio_postgres::Row>, Fault> {
        let link = self.link().await?;
        let rows = link.client.query_typed(statement, parameters).await;
        rows.map_err(|error| fault::tell(&error))
    }

    /// Runs a statement that gives a row for each row that it changes.
    async fn changes(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<bool, Fault> {
        let changed = self.query(&format!("{DURABLE} {statement}"), parameters).await?;
        Ok(!changed.is_empty())
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Server for Postgres {
    const STORE: &'static str = "postgres";

    async fn read(&self, key: &str) -> Result<Snapshot, Fault> {
        let statement = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
                         version, chain, generation, content \
                         FROM (VALUES (1)) AS one LEFT JOIN bearerd_record ON key = $1";
        let rows = self.query(statement, &[(&key, Type::TEXT)]).await?;
        let row = rows.first().ok_or_else(odd)?;
        let version: Option<String> = row.try_get(1).map_err(|_| odd())?;
        Ok(Snapshot {
            now: natural(row, 0)?,
            row: version
                .map(|version| {
                    Ok::<_, Fault>(Row {
                        version,
                        position: Position {
                            chain: natural(row, 2)?,
                            generation: natural(row, 3)?,
                        },
                        content: row.try_get(4).map_err(|_| odd())?,
                    })
                })
                .transpose()?,
        })
    }

    async fn swap(&self, key: &str, seen: Option<&str>, row: Option<&Row>) -> Result<bool, Fault> {
        let key: (&(dyn ToSql + Sync), Type) = (&key, Type::TEXT);
        let Some(row) = row else {
            let Some(seen) = seen else { return Ok(true) };
            let statement = "DELETE FROM bearerd_record USING durable WHERE key = $1 AND version = $2 RETURNING 1";
            return self.changes(statement, &[key, (&seen, Type::TEXT)]).await;
        };
        let (chain, generation) = (integer(row.position.chain)?, integer(row.position.generation)?);
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
            key,
            (&row.version, Type::TEXT),
            (&chain, Type::INT8),
            (&generation, Type::INT8),
            (&row.content, Type::TEXT),
        ];
        match &seen {
            Some(seen) => {
                parameters.push((seen, Type::TEXT));
                let statement = "UPDATE bearerd_record \
                                 SET version = $2, chain = $3, generation = $4, content = $5 \
                                 FROM durable WHERE key = $1 AND version = $6 RETURNING 1";
                self.changes(statement, &parameters).await
            }
            None => {
                let statement = "INSERT INTO bearerd_record (key, version, chain, generation, content) \
                                 SELECT $1, $2, $3, $4, $5 FROM durable ON CONFLICT (key) DO NOTHING RETURNING 1";
                self.changes(statement, &parameters).await
            }
        }
    }

    async fn note(&self, name: &str) -> Result<Option<String>, Fault> {
        let statement = "SELECT value FROM bearerd_note WHERE name = $1";
        let rows = self.query(statement, &[(&name, Type::TEXT)]).await?;
        rows.first().map(|row| row.try_get(0).map_err(|_| odd())).transpose()
    }

    async fn swap_note(&self, name: &str, seen: Option<&str>, value: &str) -> Result<bool, Fault> {
        let both: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (&value, Type::TEXT)];
        match &seen {
            Some(seen) => {
                let statement =
                    "UPDATE bearerd_note SET value = $2 FROM durable WHERE name = $1 AND value = $3 RETURNING 1";
                let [name, value] = both;
                self.changes(statement, &[name, value, (seen, Type::TEXT)]).await
            }
            None => {
                let statement = "INSERT INTO bearerd_note (name, value) SELECT $1, $2 FROM durable \
                                 ON CONFLICT (name) DO NOTHING RETURNING 1";
                self.changes(statement, &both).await
            }
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<(String, bool)>, Fault> {
        let statement = "SELECT key, left(content, length($1)) = $1 FROM bearerd_record ORDER BY key";
        let rows = self.query(statement, &[(&prefix, Type::TEXT)]).await?;
        let keys = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        keys.collect::<Result<_, tokio_postgres::Error>>().map_err(|_| odd())
    }

    async fn hang_up(&self) {
        // Whoever is connecting right now has its own deadline.
        if let Ok(mut link) = self.link.try_lock() {
            *link = None;
        }
    }

    fn tell(&self, key: &str) {
        // Nobody waits for it, and one that is lost is made up for by a look.
        let Some(link) = self.link.try_lock().ok().and_then(|link| link.clone()) else {
            return;
        };
        let key = key.to_owned();
        tokio::spawn(async move {
            // A notification is a commit too; this one needs no sync of the disk.
            let statement = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
            let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&changes::CHANNEL, Type::TEXT), (&key, Type::TEXT)];
            let _ = link.client.query_typed(statement, &parameters).await;
        });
    }

    async fn changed(&self, key: &str) {
        self.changes.of(&self.settings, key).await;
    }

    fn mend(&self, key: &Key) -> String {
        format!("DELETE FROM bearerd_record WHERE key = '{}'", key.as_str())
    }
}

fn integer(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::lasting("a position is too large for its column"))
}

fn natural(row: &tokio_postgres::Row, column: usize) -> Result<u64, Fault> {
    let number: i64 = row.try_get(column).map_err(|_| odd())?;
    u64::try_from(number).map_err(|_| odd())
}

fn odd() -> Fault {
    Fault::lasting("the tables bearerd_record and bearerd_note aren't bearerd's; let state.url name another database")
}

#[cfg(test)]
mod tests;
