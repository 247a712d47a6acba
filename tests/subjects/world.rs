//! The whole program in front of two vendors, called without sockets of its own.

use std::path::{Path, PathBuf};

use bearerd::{
    assemble::Program,
    clock::Clock,
    config::{Surroundings, load},
    proxy::Stack,
    upstream::Body,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use tower::Service;

use crate::vendor::Vendor;

/// Two vendors behind `/one` and `/two`, each with a credential per user and tenant; `/header` is the first one too,
/// with the tenant in a header.
pub(crate) struct World {
    pub(crate) one: Vendor,
    pub(crate) two: Vendor,
    pub(crate) clock: Clock,
    stack: Stack,
    program: Program,
}

/// An answer, whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// bearerd's own code, where the answer is its own.
    pub(crate) code: Option<String>,
    pub(crate) body: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with("{ store: memory }", "").await
    }

    /// With this `state`, and these further keys of the credentials.
    pub(crate) async fn with(state: &str, keys: &str) -> Self {
        let (one, two) = (Vendor::start("one").await, Vendor::start("two").await);
        let clock = Clock::manual();
        let (program, stack) = program(
            state,
            keys,
            [&one, &two].map(|vendor| vendor.address.to_string()),
            &clock,
        )
        .await;
        Self {
            one,
            two,
            clock,
            stack,
            program,
        }
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller(self.stack.clone())
    }

    pub(crate) async fn ask(&self, route: &str, user: &str, tenant: &str) -> Answer {
        self.caller().ask(route, user, tenant).await
    }

    /// Ends the program once nothing is under way.
    pub(crate) async fn end(self) -> (Vendor, Vendor) {
        drop(self.stack);
        assert!(self.program.shutdown().await, "something is still under way");
        (self.one, self.two)
    }
}

pub(crate) async fn program(state: &str, keys: &str, vendors: [String; 2], clock: &Clock) -> (Program, Stack) {
    let [one, two] = vendors;
    let credential = |vendor: &str, tenant: &str| {
        format!(
            "{{ preset: flow-retail-user, params: {{ base_url: \"http://{vendor}\" }}, {keys}\
             subject: {{ user_token: \"${{header:x-flow-user-token}}\", tenant: \"{tenant}\" }} }}"
        )
    };
    let text = format!(
        "state: {state}\n\
         credentials:\n  one: {}\n  two: {}\n  header: {}\n\
         upstreams:\n\
         \x20 one: {{ url: \"http://{one}\", credential: one }}\n\
         \x20 two: {{ url: \"http://{two}\", credential: two }}\n\
         routes:\n\
         \x20 one: {{ prefix: /one, path: \"/v2/tenants/{{tenantUid}}/{{*rest}}\", upstream: one, token_timeout: 1h }}\n\
         \x20 two: {{ prefix: /two, path: \"/v2/tenants/{{tenantUid}}/{{*rest}}\", upstream: two, token_timeout: 1h }}\n\
         \x20 header: {{ prefix: /header, path: \"/v2/tenants/{{tenantUid}}/{{*rest}}\", upstream: one, credential: header, token_timeout: 1h }}\n",
        credential(&one, "${path:tenantUid}"),
        credential(&two, "${path:tenantUid}"),
        credential(&one, "${header:x-tenant}"),
    );
    let surroundings = Surroundings {
        env: Default::default(),
        read: Box::new(move |_: &Path| Ok(text.clone().into_bytes())),
    };
    let loaded = load(&[PathBuf::from("bearerd.yaml")], &surroundings).unwrap_or_else(|faults| panic!("{faults}"));
    let program = Program::build(loaded.config, clock.clone()).await.unwrap();
    let stack = program.listeners[0].2.clone();
    (program, stack)
}

/// Calls the stack; each task has its own.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Stack);

impl Caller {
    /// Asks a route's API whose token it gets.
    pub(crate) async fn ask(&self, route: &str, user: &str, tenant: &str) -> Answer {
        let user = [("x-flow-user-token", user.as_bytes())];
        self.send(&format!("/{route}/v2/tenants/{tenant}/echo"), &user).await
    }

    pub(crate) async fn send(&self, target: &str, fields: &[(&'static str, &[u8])]) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let mut request = Request::get(target).body(Body::default()).unwrap();
        *request.headers_mut() = headers;
        let answering = self.0.clone().call(request);
        let answer = answering.await.unwrap();
        let status = answer.status();
        let code = answer.headers().get("x-bearerd-error");
        let code = code.map(|code| code.to_str().unwrap().to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            code,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}
