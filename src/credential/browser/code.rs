//! An authorization code with PKCE: what is sent to the authorization endpoint, and what its redirect brings.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    credential::{
        grant::{BuildError, Request, Secrets},
        reply::text::{LONGEST, LONGEST_CODE, printable},
    },
    template::Scope,
};

/// How many random bytes an attempt takes: 32 for the state, and 32 for the verifier (RFC 7636 §4.1, §7.1).
pub const ENTROPY: usize = 64;

/// One attempt to sign in: what ties the redirect (`state`) and the code (`code_verifier`) to it. Debug shows neither.
pub struct Attempt {
    state: SecretString,
    verifier: SecretString,
    redirect_uri: String,
}

/// What a redirect brought instead of a code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// Its `state` is another one's, or missing: nothing in it may be believed (RFC 6749 §10.12).
    #[error(
        "this is not the answer to the sign-in under way (its state differs): use the latest address that was shown"
    )]
    NotThisAttempt,
    /// The authorization endpoint refused (RFC 6749 §4.1.2.1).
    #[error("the provider refused: {0}")]
    Refused(String),
    /// Neither a code nor an error.
    #[error("there is no code in it: paste the whole address that the browser was sent to, or the code alone")]
    NoCode,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attempt({})", self.redirect_uri)
    }
}

impl Attempt {
    /// An attempt whose secrets are made of these random bytes.
    pub fn new(entropy: &[u8; ENTROPY], redirect_uri: &str) -> Self {
        let (state, verifier) = entropy.split_at(ENTROPY / 2);
        Self {
            state: URL_SAFE_NO_PAD.encode(state).into(),
            verifier: URL_SAFE_NO_PAD.encode(verifier).into(),
            redirect_uri: redirect_uri.to_owned(),
        }
    }

    /// The page to open: the authorization request with this attempt's state and challenge.
    ///
    /// # Errors
    /// The request can't be built of what the config says.
    pub fn page(&self, authorize: &Request) -> Result<String, BuildError> {
        let values = |scope: Scope, name: &str| match (scope, name) {
            (Scope::Ask, "state") => Some(self.state.expose_secret().to_owned()),
            (Scope::Ask, "code_challenge") => Some(challenge(self.verifier.expose_secret())),
            (Scope::Ask, "redirect_uri") => Some(self.redirect_uri.clone()),
            _ => None,
        };
        Ok(authorize.build(&values)?.uri().to_string())
    }

    /// The code in what the browser was sent to: a whole URI, or its path and query.
    ///
    /// # Errors
    /// Each [`RedirectError`]. A parameter that is there twice is as good as absent (RFC 6749 §3.1).
    pub fn code(&self, redirected: &str) -> Result<SecretString, RedirectError> {
        let query = redirected.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let only = |wanted: &str| {
            let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted);
            values
                .next()
                .filter(|_| values.next().is_none())
                .map(|(_, value)| value)
        };
        let state = only("state").ok_or(RedirectError::NotThisAttempt)?;
        verify_slices_are_equal(state.as_bytes(), self.state.expose_secret().as_bytes())
            .map_err(|_| RedirectError::NotThisAttempt)?;
        if let Some(error) = only("error") {
            let secrets = self.secrets();
            let mut words = printable(&error, LONGEST_CODE, &secrets).unwrap_or_default();
            if let Some(text) = only("error_description").and_then(|text| printable(&text, LONGEST, &secrets)) {
                words.push_str(&format!(" ({text})"));
            }
            return Err(RedirectError::Refused(words));
        }
        let code = only("code").filter(|code| !code.is_empty());
        code.map(|code| code.into_owned().into()).ok_or(RedirectError::NoCode)
    }

    /// The code in what a person pasted: the redirect, or the code alone. A bare code comes without a state; that it
    /// belongs to this attempt is what the verifier shows (RFC 9700 §2.1.1).
    ///
    /// # Errors
    /// As [`Attempt::code`].
    pub fn pasted(&self, pasted: &str) -> Result<SecretString, RedirectError> {
        let pasted = pasted.trim();
        if pasted.contains('?') {
            return self.code(pasted);
        }
        if pasted.is_empty() || pasted.contains("://") || pasted.contains(char::is_whitespace) {
            return Err(RedirectError::NoCode);
        }
        Ok(pasted.into())
    }

    /// What the token request refers to (RFC 6749 §4.1.3, RFC 7636 §4.5).
    pub fn answers(&self, code: SecretString) -> BTreeMap<String, SecretString> {
        BTreeMap::from([
            ("code".to_owned(), code),
            ("redirect_uri".to_owned(), self.redirect_uri.as_str().into()),
            ("code_verifier".to_owned(), self.verifier.clone()),
        ])
    }

    fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add(self.state.expose_secret());
        secrets.add(self.verifier.expose_secret());
        secrets
    }
}

/// `S256` (RFC 7636 §4.2).
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        let mut entropy = [7; ENTROPY];
        entropy[ENTROPY / 2..].fill(9);
        Attempt::new(&entropy, "http://127.0.0.1:1/callback")
    }

    fn state() -> String {
        attempt().state.expose_secret().to_owned()
    }

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let challenge = challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert_eq!(attempt().verifier.expose_secret().len(), 43);
    }

    #[test]
    fn a_code_is_taken_from_the_right_redirect_only() {
        let attempt = attempt();
        let state = state();
        let code = |text: &str| attempt.code(text).map(|code| code.expose_secret().to_owned());
        for target in [
            format!("/callback?code=a%2Fb&state={state}&iss=x"),
            format!("http://127.0.0.1:1/callback?state={state}&code=a%2Fb#_=_"),
        ] {
            assert_eq!(code(&target), Ok("a/b".into()), "{target}");
            assert_eq!(attempt.pasted(&format!(" {target}\n")).unwrap().expose_secret(), "a/b");
        }
        for target in [
            "/callback?code=c".to_owned(),
            "/callback?code=c&state=other".to_owned(),
            format!("/callback?code=c&state={state}x"),
            format!("/callback?code=c&state={}", &state[1..]),
            format!("/callback?code=c&state={state}&state=other"),
            "/favicon.ico".to_owned(),
            // Not even a refusal is believed.
            "/callback?error=access_denied".to_owned(),
        ] {
            assert_eq!(code(&target), Err(RedirectError::NotThisAttempt), "{target}");
        }
        assert_eq!(code(&format!("/callback?state={state}")), Err(RedirectError::NoCode));
        assert_eq!(
            code(&format!("/callback?state={state}&code=")),
            Err(RedirectError::NoCode)
        );
        assert_eq!(
            code(&format!("/callback?state={state}&code=a&code=b")),
            Err(RedirectError::NoCode)
        );
    }

    #[test]
    fn a_refusal_is_told_in_the_providers_words_and_without_secrets() {
        let state = state();
        let target = format!("/callback?error=access_denied&error_description=No,+%1b[1m{state}&state={state}");
        let error = attempt().code(&target).unwrap_err().to_string();
        assert_eq!(error, "the provider refused: access_denied (No, [1m***)");
    }

    #[test]
    fn a_bare_code_may_be_pasted_and_other_text_is_not_taken_for_one() {
        let attempt = attempt();
        assert_eq!(
            attempt.pasted(" 4/0Ab-c_d== \r\n").unwrap().expose_secret(),
            "4/0Ab-c_d=="
        );
        for text in ["", "  ", "https://idp.example/done", "I did"] {
            assert_eq!(attempt.pasted(text).unwrap_err(), RedirectError::NoCode, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", attempt());
        assert!(!shown.contains(&state()) && shown.contains("/callback"), "{shown}");
    }
}
