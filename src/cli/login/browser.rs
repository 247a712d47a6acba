//! Signing in with a browser: shows what the running one says, and brings back what the browser brings.

use std::{
    io::{self, IsTerminal, Write},
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use http::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PATIENCE, loopback::Loopback, qr};
use crate::{
    admin::{FlowBegun, NOT_THIS_FLOW},
    cli::{
        Failure, ask,
        call::{self, call},
    },
    config::checked::Bind,
    credential::{
        browser::{Browser, Redirect},
        spec::Ask,
    },
    name::CredentialName,
};

/// A credential whose sign-in needs a browser, and the running one that does it.
pub(super) struct Session<'a> {
    pub(super) admin: &'a Bind,
    pub(super) credential: &'a CredentialName,
    pub(super) output: &'a mut dyn Write,
}

/// What the running one answered.
enum Told {
    Detail(String),
    Pending,
    /// The sign-in goes on; what came was no answer to it.
    NotThisFlow(String),
}

impl Session<'_> {
    /// Signs in; what is true then.
    pub(super) fn run(mut self, browser: &Browser, no_browser: bool) -> Result<String, Failure> {
        match browser {
            Browser::Device(_) => self.device(),
            Browser::Code { redirect, .. } => match redirect {
                Redirect::Registered(uri) => self.pasted(uri),
                Redirect::Loopback { port } if no_browser => {
                    let port = port.map_or_else(free_port, Ok)?;
                    self.pasted(&Redirect::loopback(port))
                }
                Redirect::Loopback { port } => self.redirected(Loopback::bind(*port)?),
            },
        }
    }

    /// The browser runs here and comes back by itself (RFC 8252 §7.3).
    fn redirected(&mut self, loopback: Loopback) -> Result<String, Failure> {
        let begun = self.begin(Some(&Redirect::loopback(loopback.port())))?;
        let url = begun.url.as_deref().unwrap_or_default();
        self.say(&format!(
            "Open this address in a browser of this machine, and sign in:\n\n  {url}\n\n\
             (with the browser on another machine: bearerd login {} --no-browser)",
            self.credential
        ))?;
        open(url);
        let redirects = loopback.listen();
        let patience = Duration::from_secs(begun.expires_in);
        loop {
            // Other programs of this machine may knock as well: only the attempt's own redirect ends it.
            let redirected = redirects
                .recv_timeout(patience)
                .map_err(|_| Failure::failed("nobody came back from the browser in time; try again"))?;
            let body = json!({ "flow": begun.flow, "redirected": redirected.target.expose_secret() });
            match self.ask("finish", &body) {
                Ok(Told::Detail(detail)) => {
                    redirected.answer(StatusCode::OK, "Signed in. You can close this page.");
                    return Ok(detail);
                }
                Ok(Told::NotThisFlow(_) | Told::Pending) => redirected.answer(
                    StatusCode::BAD_REQUEST,
                    "This is no answer to the sign-in that is under way. Use the latest address in the terminal.",
                ),
                Err(failure) => {
                    redirected.answer(
                        StatusCode::BAD_GATEWAY,
                        "It did not work; the terminal says why. You can close this page.",
                    );
                    return Err(failure);
                }
            }
        }
    }

    /// The browser runs elsewhere, and a person brings back where it ended up.
    fn pasted(&mut self, redirect_uri: &str) -> Result<String, Failure> {
        let begun = self.begin(Some(redirect_uri))?;
        let url = begun.url.as_deref().unwrap_or_default();
        self.say(&format!(
            "Open this address in any browser, and sign in:\n\n  {url}\n\n\
             The browser then ends up at {redirect_uri}?…, which may well say that it can't be reached."
        ))?;
        let question = Ask {
            name: "code".into(),
            question: "The whole address that it ended up at (or the code alone)".into(),
            secret: false,
        };
        loop {
            let answers = ask::ask([&question])?;
            let pasted = answers.first().map_or("", |(_, answer)| answer.expose_secret());
            match self.ask("finish", &json!({ "flow": begun.flow, "pasted": pasted }))? {
                Told::Detail(detail) => return Ok(detail),
                // At a terminal there is another try; whoever pipes has no other answer.
                Told::NotThisFlow(why) if io::stdin().is_terminal() => self.say(&why)?,
                Told::NotThisFlow(why) => return Err(Failure::Failed(why)),
                Told::Pending => {}
            }
        }
    }

    /// A code is typed into a browser elsewhere (RFC 8628 §3.3).
    fn device(&mut self) -> Result<String, Failure> {
        let begun = self.begin(None)?;
        let (Some(code), Some(uri)) = (&begun.user_code, &begun.verification_uri) else {
            return Err(other_version());
        };
        let complete = begun.verification_uri_complete.as_ref();
        if io::stdout().is_terminal()
            && let Some(drawing) = qr::draw(complete.unwrap_or(uri))
        {
            self.say(&drawing)?;
        }
        let also = complete.map_or(String::new(), |complete| format!("\n\nor open\n\n  {complete}"));
        self.say(&format!(
            "On any device with a browser, open\n\n  {uri}\n\nand enter the code\n\n  {code}{also}\n\n\
             Waiting for that, for {} minutes at most.",
            begun.expires_in.div_ceil(60)
        ))?;
        loop {
            match self.ask("wait", &json!({ "flow": begun.flow }))? {
                Told::Detail(detail) => return Ok(detail),
                Told::Pending => {}
                Told::NotThisFlow(why) => return Err(Failure::Failed(why)),
            }
        }
    }

    fn begin(&self, redirect_uri: Option<&str>) -> Result<FlowBegun, Failure> {
        let (status, body) = self.call("begin", &json!({ "redirect_uri": redirect_uri }))?;
        if !status.is_success() {
            return Err(Failure::Failed(call::detail(status, &body)));
        }
        serde_json::from_slice(&body).map_err(|_| other_version())
    }

    fn ask(&self, verb: &str, body: &Value) -> Result<Told, Failure> {
        #[derive(Deserialize)]
        struct Page {
            detail: String,
            code: Option<String>,
        }
        let (status, body) = self.call(verb, body)?;
        let page: Option<Page> = serde_json::from_slice(&body).ok();
        match page {
            Some(_) if status == StatusCode::ACCEPTED => Ok(Told::Pending),
            Some(page) if status.is_success() => Ok(Told::Detail(page.detail)),
            Some(page) if page.code.as_deref() == Some(NOT_THIS_FLOW) => Ok(Told::NotThisFlow(page.detail)),
            _ => Err(Failure::Failed(call::detail(status, &body))),
        }
    }

    fn call(&self, verb: &str, body: &Value) -> Result<(StatusCode, bytes::Bytes), Failure> {
        let path = format!("/credentials/{}/login/{verb}", self.credential);
        let ask = call::Ask {
            method: Method::POST,
            path: &path,
            json: Some(body.to_string()),
            patience: PATIENCE,
        };
        call(self.admin, &ask)
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.output, "{text}\n")?;
        Ok(self.output.flush()?)
    }
}

fn other_version() -> Failure {
    Failure::failed("the answer can't be read: is the running bearerd of another version?")
}

/// A port that nobody listens on here just now; the browser runs elsewhere anyway.
fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let port = listener.and_then(|listener| Ok(listener.local_addr()?.port()));
    port.map_err(|error| Failure::Failed(format!("no port of this machine is free: {error}")))
}

/// Opens the page if there is a display; the address is on the terminal in any case.
fn open(url: &str) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else if is_set("DISPLAY") || is_set("WAYLAND_DISPLAY") {
        "xdg-open"
    } else {
        return;
    };
    let _ = Command::new(opener)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}
