//! Hearing of other processes' writes (LISTEN, NOTIFY): a hint that spares whoever waits the rest of its pause.
//!
//! A connection of its own listens from the first wait on. Where it is lost, or a pooler stands between that passes no
//! notifications on, waits end when their owners look by themselves.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    task::AbortHandle,
};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use super::Settings;
use crate::store::remote::{CONNECT_TIMEOUT, MakeTls};

/// The channel; what is told on it is a record's key.
pub(super) const CHANNEL: &str = "bearerd_changed";

/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(5);

/// Who waits, and the task that listens for them.
#[derive(Default)]
pub(super) struct Changes {
    waiting: Arc<Waiting>,
    listener: Mutex<Option<AbortHandle>>,
}

/// Who waits for which record.
#[derive(Default)]
struct Waiting(Mutex<HashMap<String, Weak<Notify>>>);

impl Waiting {
    /// The map is whole even after a panic elsewhere: it is changed by one insertion or removal at a time.
    fn map(&self) -> MutexGuard<'_, HashMap<String, Weak<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, key: &str) -> Arc<Notify> {
        let mut map = self.map();
        if let Some(notify) = map.get(key).and_then(Weak::upgrade) {
            return notify;
        }
        map.retain(|_, notify| notify.strong_count() > 0);
        let notify = Arc::new(Notify::new());
        map.insert(key.to_owned(), Arc::downgrade(&notify));
        notify
    }

    fn tell(&self, key: &str) {
        if let Some(notify) = self.map().get(key).and_then(Weak::upgrade) {
            notify.notify_waiters();
        }
    }
}

impl Changes {
    /// Ends when somebody has written the record of this key since the call.
    pub(super) async fn of(&self, settings: &Settings, key: &str) {
        let notify = self.waiting.of(key);
        let mut told = pin!(notify.notified());
        // From here on a notification counts, whether or not this is polled meanwhile.
        told.as_mut().enable();
        self.listen(settings);
        told.await;
    }

    fn listen(&self, settings: &Settings) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.as_ref().is_none_or(AbortHandle::is_finished) {
            let task = tokio::spawn(listen(settings.clone(), self.waiting.clone()));
            *listener = Some(task.abort_handle());
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let listener = self.listener.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener {
            listener.abort();
        }
    }
}

async fn listen(Settings { server, tls }: Settings, waiting: Arc<Waiting>) {
    loop {
        // What fails here fails elsewhere too, and is told there.
        match &tls {
            Some(tls) => {
                let connecting = server.connect(MakeTls(tls.clone()));
                if let Ok(Ok((client, connection))) = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                    follow(client, connection, &waiting).await;
                }
            }
            None => {
                let connecting = server.connect(NoTls);
                if let Ok(Ok((client, connection))) = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                    follow(client, connection, &waiting).await;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Passes notifications on until the connection ends.
async fn follow<S, T>(client: Client, mut connection: Connection<S, T>, waiting: &Waiting)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let asking = format!("LISTEN {CHANNEL}");
    let mut asking = pin!(client.batch_execute(&asking));
    let mut listens = false;
    loop {
        tokio::select! {
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notification(told))) => waiting.tell(told.payload()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            asked = &mut asking, if !listens => match asked {
                Ok(()) => listens = true,
                Err(_) => return,
            },
        }
    }
}
