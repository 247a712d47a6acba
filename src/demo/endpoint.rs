//! One request's way through an emulated API.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, Entry, HOST},
    request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::Notify;

use super::{
    authority::{Cause, Holder, Ledger, Rotation},
    body::Outgoing,
    count::{Seen, Tally},
    exchange::{Call, Payload, Purpose, Received, Reply, Vendor},
    flowlu,
    mint::hex,
    misbehave::{Delivery, Misbehaviour, Plan},
};
use crate::clock::Clock;

/// Bodies up to this many bytes are held, for forms and JSON; longer ones are only hashed.
const HELD: usize = 1024 * 1024;

/// The most zeros that one `…/demo/bytes/{n}` gives.
const MOST_ZEROS: u64 = 1024 * 1024 * 1024;

/// One API as its connections see it.
pub(super) struct Endpoint {
    pub(super) name: &'static str,
    pub(super) vendor: Box<dyn Vendor>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) tally: Arc<Tally>,
    /// What token requests meet.
    pub(super) plan: Plan<Misbehaviour>,
    /// Which data calls are refused although their credential is good.
    pub(super) refusals: Plan<()>,
    /// Whether new connections are closed before their TLS handshake.
    pub(super) unreachable: AtomicBool,
    pub(super) last_token: Mutex<Option<Seen>>,
    pub(super) last_data: Mutex<Option<Seen>>,
    /// The authorities it answers to, `name:port`.
    pub(super) authorities: Vec<String>,
    pub(super) clock: Clock,
    /// How long each byte of a dripping reply takes.
    pub(super) drip: Duration,
    /// How long a reply in two chunks pauses.
    pub(super) pause: Duration,
}

impl Endpoint {
    /// Answers a request. `close` breaks the connection off.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        sni: Option<String>,
        close: &Notify,
    ) -> Response<Outgoing> {
        let (head, body) = request.into_parts();
        let Ok(body) = receive(body).await else {
            return self.render(Reply::bare(StatusCode::BAD_REQUEST));
        };
        let authority = authority(&head);
        let (seen, call) = read(head, body, authority, sni);
        if !self.is_directed_here(&seen) {
            self.tally.add(|counts| counts.misdirected += 1);
            return self.render(Reply::bare(StatusCode::MISDIRECTED_REQUEST));
        }
        let delivery = match self.bulk(&call) {
            Some(length) => match self.authorise(&call, seen) {
                Ok(_) => return self.pour(length),
                Err(denied) => Delivery::Whole(denied),
            },
            None => self.decide(&call, seen),
        };
        match delivery {
            Delivery::Whole(reply) => self.render(reply),
            Delivery::Drip(reply) => self.render_with(reply, |bytes| Outgoing::drip(bytes, self.drip)),
            Delivery::Halves(reply) => self.render_with(reply, |bytes| Outgoing::halves(bytes, self.pause)),
            Delivery::Cut(reply) => self.render_with(reply, |bytes| Outgoing::cut(bytes.slice(..bytes.len() / 2))),
            Delivery::Hang => pending().await,
            Delivery::Close => {
                close.notify_one();
                pending().await
            }
        }
    }

    fn decide(&self, call: &Call, seen: Seen) -> Delivery {
        match self.vendor.purpose(call) {
            Purpose::Token(grant) => {
                self.tally.add(|counts| counts.token_request(grant));
                keep(&self.last_token, seen);
                self.token(call)
            }
            Purpose::Step => {
                self.tally.add(|counts| counts.steps += 1);
                keep(&self.last_token, seen);
                Delivery::Whole(self.vendor.step(call))
            }
            Purpose::Data(status) => Delivery::Whole(match self.authorise(call, seen) {
                Ok(holder) => self.echo(call, status, &holder),
                Err(denied) => denied,
            }),
            Purpose::WrongMethod => Delivery::Whole(Reply::bare(StatusCode::METHOD_NOT_ALLOWED)),
            Purpose::Nothing => Delivery::Whole(Reply::json(
                StatusCode::NOT_FOUND,
                json!({"error": "not_found", "message": "The document names no such path"}),
            )),
        }
    }

    fn token(&self, call: &Call) -> Delivery {
        let misbehaviour = self.plan.take();
        if let Some(delivery) = misbehaviour.and_then(Misbehaviour::instead) {
            return delivery;
        }
        let rotation = match misbehaviour {
            Some(Misbehaviour::NoNewRefreshToken) => Rotation::Keep,
            _ => Rotation::Rotate,
        };
        let reply = self.vendor.token(call, rotation);
        match misbehaviour {
            Some(misbehaviour) => misbehaviour.deliver(reply),
            None => Delivery::Whole(reply),
        }
    }

    fn authorise(&self, call: &Call, seen: Seen) -> Result<Holder, Reply> {
        keep(&self.last_data, seen);
        let mut outcome = self.vendor.authorise(call);
        if outcome.is_ok() && self.refusals.take().is_some() {
            self.tally.add(|counts| counts.refused_at_will += 1);
            outcome = Err(Cause::Unknown);
        }
        self.tally.add(|counts| match &outcome {
            Ok(_) => counts.authorised += 1,
            Err(Cause::Forbidden) => counts.forbidden += 1,
            Err(cause) => {
                counts.unauthorised += 1;
                counts.with_revoked += u64::from(*cause == Cause::Revoked);
                counts.with_expired += u64::from(*cause == Cause::Expired);
            }
        });
        outcome.map_err(|cause| self.vendor.denied(cause))
    }

    /// Says what arrived and who it spoke for; never with what.
    fn echo(&self, call: &Call, status: StatusCode, holder: &Holder) -> Reply {
        let mut query = call.query();
        query.retain(|(name, _)| name != flowlu::API_KEY_PARAMETER);
        let told = json!({
            "api": self.name,
            "method": call.method.as_str(),
            "path": call.path,
            "query": query,
            "authorized_as": holder.name,
            "tenant": holder.tenant,
            "body_sha256": call.body.sha256,
            "body_bytes": call.body.length,
        });
        Reply {
            // A person reads it on a terminal, where a line should end.
            payload: Payload::Text("application/json", format!("{told}\n").into()),
            ..Reply::bare(status)
        }
    }

    /// How many zeros `…/demo/bytes/{n}` asks for: large downloads, which no vendor's document has.
    fn bulk(&self, call: &Call) -> Option<u64> {
        let (_, length) = call.path.rsplit_once("/demo/bytes/")?;
        length.parse().ok().filter(|length| *length <= MOST_ZEROS)
    }

    fn pour(&self, length: u64) -> Response<Outgoing> {
        let mut response = self.render(Reply::bare(StatusCode::OK));
        let kind = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Outgoing::Bulk(length);
        response
    }

    /// A request for another host, or one whose TLS name and `Host` differ, found its way here by mistake.
    fn is_directed_here(&self, seen: &Seen) -> bool {
        let authority = seen.authority.to_ascii_lowercase();
        let host = authority.rsplit_once(':').map_or(&*authority, |(host, _)| host);
        self.authorities.contains(&authority) && seen.sni.as_deref().is_none_or(|sni| sni == host)
    }

    fn render(&self, reply: Reply) -> Response<Outgoing> {
        self.render_with(reply, |bytes| {
            Outgoing::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
        })
    }

    fn render_with(&self, reply: Reply, body: impl FnOnce(Bytes) -> Outgoing) -> Response<Outgoing> {
        let (media_type, bytes) = match reply.payload {
            Payload::Empty => (None, Bytes::new()),
            Payload::Json(value) => (Some("application/json"), value.to_string().into()),
            Payload::Text(media_type, bytes) => (Some(media_type), bytes),
        };
        let length = bytes.len();
        let mut response = Response::new(body(bytes));
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        headers.extend(reply.headers);
        if let Some(media_type) = media_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // The clock that tokens live by, which a test may have moved.
        let wall = UNIX_EPOCH + Duration::from_millis(self.clock.now().wall);
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(wall)) {
            headers.insert(DATE, date);
        }
        response
    }
}

fn authority(head: &Parts) -> String {
    let from_uri = head.uri.authority().map(|authority| authority.as_str());
    let from_host = || head.headers.get(HOST).and_then(|host| host.to_str().ok());
    from_uri.or_else(from_host).unwrap_or_default().to_owned()
}

fn read(head: Parts, body: Received, authority: String, sni: Option<String>) -> (Seen, Call) {
    let mut headers = head.headers.clone();
    if let Entry::Occupied(mut credentials) = headers.entry(AUTHORIZATION) {
        credentials.iter_mut().for_each(|value| value.set_sensitive(true));
    }
    let seen = Seen {
        method: head.method.clone(),
        version: head.version,
        authority,
        sni,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        body_sha256: body.sha256.clone(),
        body_length: body.length,
    };
    let call = Call {
        method: head.method,
        path: seen.path.clone(),
        query: seen.query.clone(),
        headers: head.headers,
        body,
    };
    (seen, call)
}

fn keep(place: &Mutex<Option<Seen>>, seen: Seen) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
}

/// Reads a body to its end in constant memory.
async fn receive(mut body: Incoming) -> Result<Received, hyper::Error> {
    let mut hash = Context::new(&SHA256);
    let mut length = 0;
    let mut held = Some(BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        hash.update(&data);
        length += data.len() as u64;
        held = held.filter(|held| held.len() + data.len() <= HELD);
        if let Some(held) = &mut held {
            held.extend_from_slice(&data);
        }
    }
    Ok(Received {
        sha256: hex(hash.finish().as_ref()),
        length,
        held: held.map(BytesMut::freeze),
    })
}
