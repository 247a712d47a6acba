//! Signing in with a browser, on this machine or on another: what it adds to the grants, decided without IO.
//!
//! Both ways end in a token request of the usual kind, the credential's `sign_in`, whose `${ask:…}` references are
//! answered by what the browser brought: [`Attempt::answers`], [`Authorization::answers`].

mod code;
mod device;

pub use code::{Attempt, ENTROPY, RedirectError};
pub use device::{Authorization, AuthorizationError, Next, Pace, is_pending};

use super::grant::Request;

/// How a person signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Browser {
    /// An authorization code with PKCE (RFC 6749 §4.1, RFC 7636, RFC 8252).
    Code {
        /// The page to open: its URL refers to `${ask:redirect_uri}`, `${ask:state}` and `${ask:code_challenge}`.
        authorize: Box<Request>,
        /// Where the browser is sent afterwards.
        redirect: Redirect,
    },
    /// A code that is typed into a browser elsewhere (RFC 8628): the device authorization request.
    Device(Box<Request>),
}

impl Browser {
    /// The request that begins it: the page to open, or the device authorization request.
    pub fn begins(&self) -> &Request {
        match self {
            Self::Code { authorize, .. } => authorize,
            Self::Device(request) => request,
        }
    }
}

/// Where the browser is sent with its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// To this machine (RFC 8252 §7.3): a free port, or the one that the provider knows.
    Loopback {
        /// The port, where the provider wants an exact one.
        port: Option<u16>,
    },
    /// To an address that is registered with the provider; a person pastes where the browser ended up.
    Registered(String),
}

/// The path of a redirect to this machine.
pub const REDIRECT_PATH: &str = "/callback";

impl Redirect {
    /// Whether a flow may ask the provider to redirect there: what the config says, or this machine.
    pub fn allows(&self, uri: &str) -> bool {
        match self {
            Self::Registered(registered) => registered == uri,
            Self::Loopback { port } => {
                let rest = uri.strip_prefix("http://127.0.0.1:");
                let asked = rest
                    .and_then(|rest| rest.strip_suffix(REDIRECT_PATH))
                    .and_then(|port| port.parse::<u16>().ok());
                asked.is_some_and(|asked| asked != 0 && port.is_none_or(|port| port == asked))
            }
        }
    }

    /// The URI of this machine's, on a port.
    pub fn loopback(port: u16) -> String {
        // The address rather than `localhost`, which may resolve to somebody else's listener (RFC 8252 §7.3, §8.3).
        format!("http://127.0.0.1:{port}{REDIRECT_PATH}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_goes_to_this_machine_or_to_the_registered_address() {
        let any = Redirect::Loopback { port: None };
        assert!(any.allows(&Redirect::loopback(4321)));
        for uri in [
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:4321/else",
            "http://127.0.0.1:4321@evil.example/callback",
            "https://evil.example/callback",
            "http://127.0.0.1.evil.example:80/callback",
        ] {
            assert!(!any.allows(uri), "{uri}");
        }
        let exact = Redirect::Loopback { port: Some(8400) };
        assert!(exact.allows("http://127.0.0.1:8400/callback") && !exact.allows("http://127.0.0.1:8401/callback"));
        let registered = Redirect::Registered("https://erp.example/done".into());
        assert!(registered.allows("https://erp.example/done") && !registered.allows(&Redirect::loopback(1)));
    }
}
