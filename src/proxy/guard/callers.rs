//! Which of a listener's callers sends a request.

use std::fmt;

use http::{HeaderMap, HeaderValue};

use crate::{
    config::checked::{Callers, KeyDigest, Shown},
    name::CallerName,
    proxy::Proof,
};

/// Why a request is of none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// It shows nothing that a caller has.
    Nothing,
    /// It has a key that is nobody's.
    WrongKey,
    /// It has several keys.
    SeveralKeys,
    /// What it shows is more than one caller's.
    SeveralCallers,
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "has no key, client certificate or user of one",
            Self::WrongKey => "has a key that is none's",
            Self::SeveralKeys => "has several keys, and one is enough",
            Self::SeveralCallers => "has a client certificate of more than one",
        })
    }
}

/// The caller that these headers or this connection prove.
///
/// A key that is sent must be a caller's, whatever the connection proves: so a mistyped one is noticed. Of what a
/// connection proves the more exact counts: the certificate itself, then a URI, then a DNS name, then the user, then the
/// group.
pub(super) fn identify<'c>(
    callers: &'c Callers,
    headers: &HeaderMap,
    proof: &Proof,
) -> Result<&'c CallerName, Unproven> {
    if let Some(header) = callers.takes_keys_in() {
        let mut sent = headers.get_all(header).iter();
        match (sent.next(), sent.next()) {
            (Some(_), Some(_)) => return Err(Unproven::SeveralKeys),
            (Some(value), None) => {
                let key = if callers.takes_bearer() {
                    bearer(value).ok_or(Unproven::WrongKey)?
                } else {
                    value.as_bytes()
                };
                return with_key(callers, key).ok_or(Unproven::WrongKey);
            }
            (None, _) => {}
        }
    }
    let mut best = None;
    for caller in &callers.each {
        let Some(rank) = rank(&caller.shows, proof) else {
            continue;
        };
        best = match best {
            Some((other, _, _)) if other < rank => best,
            Some((other, name, _)) if other == rank => Some((rank, name, true)),
            _ => Some((rank, &caller.name, false)),
        };
    }
    match best {
        None => Err(Unproven::Nothing),
        Some((_, _, true)) => Err(Unproven::SeveralCallers),
        Some((_, name, false)) => Ok(name),
    }
}

/// How exact it is, if the connection proves it: less is more.
fn rank(shown: &Shown, proof: &Proof) -> Option<u8> {
    let (certificate, process) = (proof.certificate.as_deref(), proof.process);
    let (rank, is_proven) = match shown {
        Shown::Key(_) => return None,
        Shown::Sha256(digest) => (0, certificate.is_some_and(|it| it.sha256 == *digest)),
        Shown::Uri(uri) => (1, certificate.is_some_and(|it| it.uris.contains(uri))),
        Shown::Dns(name) => (2, certificate.is_some_and(|it| it.dns.contains(name))),
        Shown::User(id) => (3, process.is_some_and(|it| it.user == *id)),
        Shown::Group(id) => (4, process.is_some_and(|it| it.group == *id)),
    };
    is_proven.then_some(rank)
}

/// Compares with each of them, so that the time tells nothing of which it is.
fn with_key<'c>(callers: &'c Callers, key: &[u8]) -> Option<&'c CallerName> {
    let sent = KeyDigest::of(key);
    callers.each.iter().fold(None, |found, caller| match &caller.shows {
        Shown::Key(key) if *key == sent => Some(&caller.name),
        _ => found,
    })
}

/// The token of `Bearer TOKEN` (RFC 6750 §2.1); the scheme's case doesn't count.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::checked::Caller,
        proxy::{Certificate, Process},
    };

    const ERP: &[u8] = b"erp-key-0123456789";

    fn callers(header: &'static str, each: &[(&str, Shown)]) -> Callers {
        let caller = |(name, shows): &(&str, Shown)| Caller {
            name: name.parse().unwrap(),
            shows: shows.clone(),
        };
        Callers {
            key_header: http::HeaderName::from_static(header),
            each: each.iter().map(caller).collect(),
        }
    }

    fn keys(header: &'static str) -> Callers {
        let key = |key: &[u8]| Shown::Key(KeyDigest::of(key));
        callers(header, &[("erp", key(ERP)), ("batch", key(b"batch-key-0123456"))])
    }

    fn told(callers: &Callers, headers: &[(&'static str, &str)], proof: &Proof) -> Result<String, Unproven> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        identify(callers, &map, proof).map(ToString::to_string)
    }

    fn certificate(dns: &[&str], uris: &[&str]) -> Proof {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = Certificate {
            dns: owned(dns),
            uris: owned(uris),
            sha256: [7; 32],
        };
        Proof {
            certificate: Some(Arc::new(certificate)),
            process: None,
        }
    }

    #[test]
    fn a_key_is_one_callers_and_is_sent_once() {
        let (callers, nothing) = (keys("x-bearerd-key"), Proof::default());
        let of = |headers: &[(&'static str, &str)]| told(&callers, headers, &nothing);
        assert_eq!(of(&[("x-bearerd-key", "erp-key-0123456789")]), Ok("erp".into()));
        assert_eq!(of(&[("x-bearerd-key", "batch-key-0123456")]), Ok("batch".into()));
        for wrong in [
            "",
            "erp-key-012345678",
            "erp-key-01234567890",
            "Bearer erp-key-0123456789",
        ] {
            assert_eq!(of(&[("x-bearerd-key", wrong)]), Err(Unproven::WrongKey), "{wrong}");
        }
        let twice = ("x-bearerd-key", "erp-key-0123456789");
        assert_eq!(of(&[twice, twice]), Err(Unproven::SeveralKeys));
        assert_eq!(of(&[]), Err(Unproven::Nothing));
        assert_eq!(of(&[("x_bearerd_key", "erp-key-0123456789")]), Err(Unproven::Nothing));
    }

    #[test]
    fn in_authorization_it_is_a_bearer_token() {
        let (callers, nothing) = (keys("authorization"), Proof::default());
        let of = |value| told(&callers, &[("authorization", value)], &nothing);
        assert_eq!(of("Bearer erp-key-0123456789"), Ok("erp".into()));
        assert_eq!(of("bearer  erp-key-0123456789"), Ok("erp".into()));
        for wrong in ["erp-key-0123456789", "Basic erp-key-0123456789", "Bearer", "Bearer "] {
            assert_eq!(of(wrong), Err(Unproven::WrongKey), "{wrong}");
        }
    }

    #[test]
    fn a_certificate_names_a_caller_exactly() {
        let callers = callers(
            "x-bearerd-key",
            &[
                ("by_dns", Shown::Dns("batch.internal".into())),
                ("by_other_dns", Shown::Dns("other.internal".into())),
                ("by_uri", Shown::Uri("spiffe://a/b".into())),
            ],
        );
        let of = |dns: &[&str], uris: &[&str]| told(&callers, &[], &certificate(dns, uris));
        assert_eq!(of(&["x.internal", "batch.internal"], &[]), Ok("by_dns".into()));
        assert_eq!(
            of(&["batch.internal"], &["spiffe://a/b"]),
            Ok("by_uri".into()),
            "the more exact"
        );
        assert_eq!(
            of(&["batch.internal", "other.internal"], &[]),
            Err(Unproven::SeveralCallers)
        );
        for wrong in ["*.internal", "internal", "a.batch.internal"] {
            assert_eq!(of(&[wrong], &["spiffe://a/b/c"]), Err(Unproven::Nothing), "{wrong}");
        }
        let itself = super::tests::callers("x-bearerd-key", &[("it", Shown::Sha256([7; 32]))]);
        assert_eq!(told(&itself, &[], &certificate(&[], &[])), Ok("it".into()));
    }

    #[test]
    fn a_process_is_its_user_before_its_group_and_a_wrong_key_is_never_made_good() {
        let key = Shown::Key(KeyDigest::of(ERP));
        let each = [("team", Shown::Group(50)), ("cron", Shown::User(1000)), ("erp", key)];
        let callers = callers("x-bearerd-key", &each);
        let process = |user, group| Proof {
            certificate: None,
            process: Some(Process { user, group }),
        };
        assert_eq!(told(&callers, &[], &process(1000, 50)), Ok("cron".into()));
        assert_eq!(told(&callers, &[], &process(1001, 50)), Ok("team".into()));
        assert_eq!(told(&callers, &[], &process(50, 1000)), Err(Unproven::Nothing));
        let sent = |value| told(&callers, &[("x-bearerd-key", value)], &process(1000, 50));
        assert_eq!(sent("erp-key-0123456789"), Ok("erp".into()));
        assert_eq!(sent("erp-key-wrong"), Err(Unproven::WrongKey));
    }
}
