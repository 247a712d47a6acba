//! An authorization server for people with browsers: authorization code with PKCE, device codes, and refresh tokens
//! that are good once.
//!
//! It speaks plain HTTP on loopback, approves whoever opens its pages, and counts. It is as strict as the standards
//! let it be: S256 only (RFC 7636), codes are good once, polls that come too early are told to slow down (RFC 8628
//! §3.5), and a refresh token that is sent again revokes its family (RFC 9700 §4.14.2).

mod device;
mod wire;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use self::{
    device::Device,
    wire::{Form, form, json, refused, serve, text},
};
use super::{
    authority::{Cause, Holder, Ledger, Rotation},
    count::{Counts, Tally},
    mint::{self, Mint},
};
use crate::clock::Clock;

/// The one client, which is public (RFC 6749 §2.1).
pub const CLIENT: &str = "erp";
/// A redirect that is registered besides those to loopback.
pub const REGISTERED: &str = "https://erp.example/done";

const MINT: Mint = Mint {
    access: mint::url_safe,
    refresh: Some(mint::url_safe),
};
/// What a person at the browser does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// Agrees.
    Agrees,
    /// Refuses.
    Refuses,
}

/// Which answers to token requests are held back: decided, and not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// None.
    #[default]
    Nothing,
    /// Those to refreshes.
    Refreshes,
    /// Those to codes.
    Codes,
}

/// What it has counted, besides what every emulated API counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdpCounts {
    /// Codes exchanged for tokens.
    pub codes: u64,
    /// Codes refused: unknown, spent, or with another verifier or redirect.
    pub codes_refused: u64,
    /// Polls of a device.
    pub polls: u64,
    /// Those that came too early.
    pub early_polls: u64,
    /// Times that a device was told to slow down.
    pub slow_downs: u64,
    /// Refreshes that have arrived.
    pub refreshes: u64,
}

/// The running server; it ends when this is dropped.
pub struct Idp {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Dropping the set ends its tasks.
    _serving: JoinSet<()>,
}

struct Shared {
    origin: String,
    clock: Clock,
    ledger: Ledger,
    tally: Arc<Tally>,
    counts: watch::Sender<IdpCounts>,
    held: watch::Sender<Hold>,
    book: Mutex<Book>,
    interval: Duration,
    /// Every code, verifier and token that was said: what a log must not hold.
    said: Mutex<Vec<String>>,
}

struct Book {
    person: Person,
    /// How many further polls are told to slow down.
    slow_downs: u32,
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
}

/// What a code is bound to.
struct Code {
    challenge: String,
    redirect_uri: String,
}

impl Idp {
    /// Listens on a free port of loopback. Access tokens live `lifetime`; devices are to poll every `interval`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(lifetime: Duration, interval: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (clock, tally) = (Clock::system(), Arc::new(Tally::default()));
        let shared = Arc::new(Shared {
            origin: format!("http://{address}"),
            ledger: Ledger::new(clock.clone(), lifetime, tally.clone()),
            clock,
            tally,
            counts: watch::Sender::default(),
            held: watch::Sender::default(),
            book: Mutex::new(Book {
                person: Person::Agrees,
                slow_downs: 0,
                codes: HashMap::new(),
                devices: HashMap::new(),
            }),
            interval,
            said: Mutex::default(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, shared.clone()));
        Ok(Self {
            shared,
            address,
            _serving: serving,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shared.origin)
    }

    /// What its pages' visitors do from now on.
    pub fn person(&self, person: Person) {
        self.shared.book().person = person;
    }

    /// A person decides about every device that waits.
    pub fn decide_devices(&self, person: Person) {
        for device in self.shared.book().devices.values_mut() {
            device.decided = Some(person);
        }
    }

    /// Ends the life of every device's code.
    pub fn expire_devices(&self) {
        for device in self.shared.book().devices.values_mut() {
            device.expired = true;
        }
    }

    /// Tells devices to slow down, so many times.
    pub fn slow_down(&self, times: u32) {
        self.shared.book().slow_downs = times;
    }

    /// Holds these answers back from now on, and lets others go.
    pub fn hold(&self, hold: Hold) {
        self.shared.held.send_replace(hold);
    }

    /// Revokes every family: all access and refresh tokens.
    pub fn revoke(&self) {
        self.shared.ledger.revoke_families();
    }

    /// What it has counted so far, and a way to wait for more.
    pub fn watch(&self) -> watch::Receiver<IdpCounts> {
        self.shared.counts.subscribe()
    }

    /// Every code, verifier and token that was said so far: secrets, to look for where none may be.
    pub fn said(&self) -> Vec<String> {
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What every emulated API counts.
    pub fn counts(&self) -> Counts {
        self.shared.tally.counts()
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return text(StatusCode::BAD_REQUEST, "the body was cut short");
        };
        let (body, query) = (
            form(&body.to_bytes()),
            form(head.uri.query().unwrap_or_default().as_bytes()),
        );
        match (head.method, head.uri.path()) {
            (Method::GET, "/authorize") => self.authorize(&query),
            (Method::POST, "/device") => self.device(&body),
            (Method::GET, "/activate") => self.activate(&query),
            (Method::POST, "/token") => self.token(&body).await,
            (Method::GET, path) if path.starts_with("/api") => self.api(&head.headers),
            _ => text(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    /// RFC 6749 §4.1.1 and §4.1.2, RFC 7636 §4.3.
    fn authorize(&self, query: &Form) -> Response<Full<Bytes>> {
        let given = |name: &str| query.get(name).map_or("", String::as_str);
        let redirect_uri = given("redirect_uri");
        let is_loopback = redirect_uri
            .parse::<Uri>()
            .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host() == Some("127.0.0.1"));
        // Before these two are known to be good, nobody is redirected (RFC 6749 §4.1.2.1).
        if given("client_id") != CLIENT || !(is_loopback || redirect_uri == REGISTERED) {
            return text(StatusCode::BAD_REQUEST, "unknown client or redirect");
        }
        let state = given("state");
        let is_good = given("response_type") == "code"
            && given("code_challenge_method") == "S256"
            && given("code_challenge").len() == 43
            && state.len() >= 22;
        let mut answer = form_urlencoded::Serializer::new(String::new());
        let mut book = self.book();
        if !is_good {
            answer.append_pair("error", "invalid_request");
        } else if book.person == Person::Refuses {
            answer.append_pair("error", "access_denied");
            answer.append_pair("error_description", "The person said no");
        } else {
            let code = mint::url_safe();
            self.note(&[&code, state]);
            answer.append_pair("code", &code);
            let bound = Code {
                challenge: given("code_challenge").to_owned(),
                redirect_uri: redirect_uri.to_owned(),
            };
            book.codes.insert(code, bound);
        }
        answer.append_pair("state", state);
        let mut response = text(StatusCode::FOUND, "");
        if let Ok(target) = format!("{redirect_uri}?{}", answer.finish()).try_into() {
            response.headers_mut().insert(header::LOCATION, target);
        }
        response
    }

    async fn token(&self, body: &Form) -> Response<Full<Bytes>> {
        let given = |name: &str| body.get(name).map_or("", String::as_str);
        if given("client_id") != CLIENT {
            return refused(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        match given("grant_type") {
            "authorization_code" => {
                let answer = self.exchange(body);
                self.let_go(Hold::Codes).await;
                answer
            }
            "urn:ietf:params:oauth:grant-type:device_code" => self.poll(given("device_code")),
            "refresh_token" => {
                let renewed = self
                    .ledger
                    .renew(given("refresh_token"), CLIENT, MINT, Rotation::Rotate);
                self.counts.send_modify(|counts| counts.refreshes += 1);
                self.let_go(Hold::Refreshes).await;
                match renewed {
                    Ok((_, pair)) => self.tokens(&pair.access, pair.refresh.as_deref()),
                    Err(_) => refused(StatusCode::BAD_REQUEST, "invalid_grant"),
                }
            }
            _ => refused(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        }
    }

    /// Waits until such answers are not held back.
    async fn let_go(&self, such: Hold) {
        let mut held = self.held.subscribe();
        // The sender is in `self`: waiting can't fail.
        let _ = held.wait_for(|held| *held != such).await;
    }

    /// RFC 6749 §4.1.3, RFC 7636 §4.6.
    fn exchange(&self, body: &Form) -> Response<Full<Bytes>> {
        let given = |name: &str| body.get(name).map_or("", String::as_str);
        self.note(&[given("code_verifier")]);
        // Good once, also where the rest is wrong.
        let code = self.book().codes.remove(given("code"));
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, given("code_verifier").as_bytes()));
        let is_good =
            code.is_some_and(|code| code.challenge == challenge && code.redirect_uri == given("redirect_uri"));
        if !is_good {
            self.counts.send_modify(|counts| counts.codes_refused += 1);
            return refused(StatusCode::BAD_REQUEST, "invalid_grant");
        }
        self.counts.send_modify(|counts| counts.codes += 1);
        self.issue()
    }

    fn issue(&self) -> Response<Full<Bytes>> {
        let holder = Holder {
            name: "kari".into(),
            client: CLIENT.into(),
            tenant: None,
        };
        let pair = self.ledger.issue(holder, MINT);
        self.tokens(&pair.access, pair.refresh.as_deref())
    }

    fn tokens(&self, access: &str, refresh: Option<&str>) -> Response<Full<Bytes>> {
        self.note(&[access, refresh.unwrap_or_default()]);
        json(
            StatusCode::OK,
            &json!({
                "access_token": access,
                "refresh_token": refresh,
                "token_type": "Bearer",
                "expires_in": self.ledger.expires_in(),
            }),
        )
    }

    fn api(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let holder = match bearer.and_then(|value| value.strip_prefix("Bearer ")) {
            Some(token) => self.ledger.holder(token),
            None => Err(Cause::Missing),
        };
        self.tally.add(|counts| match &holder {
            Ok(_) => counts.authorised += 1,
            Err(_) => counts.unauthorised += 1,
        });
        match holder {
            Ok(holder) => text(StatusCode::OK, &format!("hello {}\n", holder.name)),
            Err(_) => text(StatusCode::UNAUTHORIZED, "who are you?\n"),
        }
    }

    fn note(&self, secrets: &[&str]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let new = secrets.iter().filter(|secret| !secret.is_empty());
        said.extend(new.map(|secret| (*secret).to_owned()));
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
