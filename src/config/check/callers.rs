//! Who may call a listener.

use std::{path::Path, sync::Arc};

use http::{HeaderName, header};

use super::{Check, entries};
use crate::config::{
    checked::{Bind, Caller, Callers, KeyDigest, ListenerTls, Shown},
    node::KeyPath,
    raw::{self, Field, Text},
};

/// Where keys are shown unless the config says otherwise.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-bearerd-key");

/// The least characters of a key: of 16 random ones nobody finds another by trying.
const LEAST_KEY: usize = 16;

/// The id of users and groups of another user namespace that have none in this one (user_namespaces(7)).
const UNNAMED: u32 = 65534;

/// What a caller may show, in the config's words.
const ONE_OF: &str = "give `key`, `certificate: { dns | uri | sha256: … }`, `user` or `group`";

impl Check<'_> {
    /// The callers of a listener, on this address and with this TLS, as far as those could be read.
    pub(super) fn callers(
        &self,
        raw: &raw::Listener,
        bind: Option<&Bind>,
        tls: Option<&ListenerTls>,
        at: &KeyPath,
    ) -> Option<Arc<Callers>> {
        let key_header = self.key_header(&raw.key_header, &at.key("key_header"));
        if raw.callers.is_absent() {
            if !raw.key_header.is_absent() {
                self.fault_at_key(
                    &at.key("key_header"),
                    "`key_header` is of no use without `callers`".into(),
                    Some("name who may call: `callers: { NAME: { key: … } }`".into()),
                );
            }
            return None;
        }
        let at = at.key("callers");
        if raw.callers.given().is_some_and(|callers| callers.0.is_empty()) {
            self.fault_at_key(
                &at,
                "with no caller named, nobody could call".into(),
                Some("name one, or leave `callers` out".into()),
            );
        }
        let mut each: Vec<Caller> = Vec::new();
        for (name, raw) in entries(&raw.callers) {
            let at = at.key(name);
            let name = self.name(name, &at);
            let Some((shows, at)) = self.shown(raw, &at) else {
                continue;
            };
            self.can_be_shown(&shows, bind, tls, &at);
            if let Some(other) = each.iter().find(|other| other.shows == shows) {
                self.fault(
                    &at,
                    format!(
                        "caller `{}` shows the same, so nobody could tell them apart",
                        other.name
                    ),
                    Some("give each caller something of its own".into()),
                );
            }
            each.extend(name.map(|name| Caller { name, shows }));
        }
        let callers = Callers {
            key_header: key_header?,
            each,
        };
        let is_plain = matches!(bind, Some(Bind::Tcp(address)) if !address.ip().to_canonical().is_loopback());
        if is_plain && raw.tls.is_absent() && callers.takes_keys_in().is_some() {
            self.warn(
                &at,
                "keys are sent here in the clear, so whoever can listen on the way can use them",
                "give the listener a certificate: `tls: { cert: …, key: … }`",
            );
        }
        Some(Arc::new(callers))
    }

    fn key_header(&self, field: &Field<Text>, at: &KeyPath) -> Option<HeaderName> {
        if field.is_absent() {
            return Some(KEY_HEADER);
        }
        let name = HeaderName::from_bytes(self.text(field, at)?.as_bytes()).ok();
        let known = name.filter(|name| !has_another_meaning(name));
        if known.is_none() {
            self.fault(
                at,
                "this is to be the name of a header field that means nothing else".into(),
                Some("such as `x-erp-key`, or `authorization` for `Bearer KEY`".into()),
            );
        }
        known
    }

    /// What a caller shows, and where that is written.
    fn shown(&self, raw: &raw::Caller, at: &KeyPath) -> Option<(Shown, KeyPath)> {
        let empty = raw::ClientCertificate::default();
        let certificate = raw.certificate.given().unwrap_or(&empty);
        let within = at.key("certificate");
        let ways = [
            (&raw.key, at.key("key")),
            (&certificate.dns, within.key("dns")),
            (&certificate.uri, within.key("uri")),
            (&certificate.sha256, within.key("sha256")),
            (&raw.user, at.key("user")),
            (&raw.group, at.key("group")),
        ];
        let mut given = ways.iter().enumerate().filter(|(_, (field, _))| !field.is_absent());
        let first = given.next();
        if let Some((_, (_, at))) = given.next() {
            self.fault_at_key(
                at,
                "a caller shows one thing".into(),
                Some("make two callers of it, each with a name of its own".into()),
            );
            return None;
        }
        let Some((way, (field, at))) = first else {
            // What could not be read has its own fault.
            if !matches!(raw.certificate, Field::Faulty) {
                self.fault_at_key(at, "what this caller shows is missing".into(), Some(ONE_OF.into()));
            }
            return None;
        };
        let shown = match way {
            0 => Shown::Key(self.key(field, at)?),
            1 => Shown::Dns(self.dns_name(field, at)?),
            2 => Shown::Uri(self.caller_uri(field, at)?),
            3 => Shown::Sha256(self.sha256(field, at)?),
            4 => Shown::User(self.user_id(field, at)?),
            _ => Shown::Group(self.group_id(field, at)?),
        };
        Some((shown, at.clone()))
    }

    /// A shared key. No fault shows any of it.
    fn key(&self, field: &Field<Text>, at: &KeyPath) -> Option<KeyDigest> {
        let key = zeroize::Zeroizing::new(self.text(field, at)?);
        if key.len() < LEAST_KEY {
            self.fault(
                at,
                format!("a key of fewer than {LEAST_KEY} characters can be guessed"),
                Some("make one with `openssl rand -hex 32`".into()),
            );
            return None;
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.fault(
                at,
                "a key has a character that no header field carries as it is".into(),
                Some("use visible ASCII characters, without spaces".into()),
            );
            return None;
        }
        Some(KeyDigest::of(key.as_bytes()))
    }

    fn dns_name(&self, field: &Field<Text>, at: &KeyPath) -> Option<String> {
        let name = self.text(field, at)?.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || !name.chars().all(plain) {
            self.fault(
                at,
                "this is to be a whole DNS name".into(),
                Some("such as `batch.internal`; a certificate for `*` is nobody's in particular".into()),
            );
            return None;
        }
        Some(name)
    }

    fn caller_uri(&self, field: &Field<Text>, at: &KeyPath) -> Option<String> {
        let uri = self.text(field, at)?;
        let is_uri = uri.split_once(':').is_some_and(|(scheme, rest)| {
            !scheme.is_empty() && !rest.is_empty() && uri.bytes().all(|byte| byte.is_ascii_graphic())
        });
        if !is_uri {
            self.fault(
                at,
                "this is to be a whole URI".into(),
                Some("such as `spiffe://shop.example/batch`".into()),
            );
            return None;
        }
        Some(uri)
    }

    fn sha256(&self, field: &Field<Text>, at: &KeyPath) -> Option<[u8; 32]> {
        let text = self.text(field, at)?;
        let digest = fingerprint(&text);
        if digest.is_none() {
            self.fault(
                at,
                "this is no SHA-256 digest in hexadecimal digits".into(),
                Some("`openssl x509 -in client.pem -noout -fingerprint -sha256` prints it".into()),
            );
        }
        digest
    }

    /// Whether callers of this listener can show that.
    fn can_be_shown(&self, shows: &Shown, bind: Option<&Bind>, tls: Option<&ListenerTls>, at: &KeyPath) {
        match shows {
            Shown::Key(_) => {}
            Shown::Dns(_) | Shown::Uri(_) | Shown::Sha256(_) => {
                if tls.is_none_or(|tls| tls.client_ca.is_empty()) {
                    self.fault_at_key(
                        at,
                        "this listener asks for no client certificates".into(),
                        Some("give it `tls: { cert: …, key: …, client_ca: … }`".into()),
                    );
                }
            }
            Shown::User(id) | Shown::Group(id) => {
                if *id == UNNAMED {
                    self.fault(
                        at,
                        "the system says this of everybody whom it can't name, such as users of other containers"
                            .into(),
                        Some("run the caller as a user of its own".into()),
                    );
                }
                if matches!(bind, Some(Bind::Tcp(_))) {
                    self.fault_at_key(
                        at,
                        "only Unix sockets tell which user connects".into(),
                        Some("bind the listener to one: `unix:/run/bearerd/main.sock`".into()),
                    );
                }
            }
        }
    }

    /// A user's id.
    pub(super) fn user_id(&self, field: &Field<Text>, at: &KeyPath) -> Option<u32> {
        self.id(field, at, "user", "/etc/passwd")
    }

    /// A group's id.
    pub(super) fn group_id(&self, field: &Field<Text>, at: &KeyPath) -> Option<u32> {
        self.id(field, at, "group", "/etc/group")
    }

    fn id(&self, field: &Field<Text>, at: &KeyPath, what: &str, database: &str) -> Option<u32> {
        let text = self.text(field, at)?;
        let id = match text.parse::<u32>() {
            // The greatest one means "unchanged" (chown(2)).
            Ok(id) => Some(id).filter(|id| *id != u32::MAX),
            Err(_) => {
                let entries = (self.surroundings.read)(Path::new(database)).unwrap_or_default();
                named(&String::from_utf8_lossy(&entries), &text)
            }
        };
        if id.is_none() {
            self.fault(
                at,
                format!("there is no {what} of that name in {database}"),
                Some("give its number, which `id` prints, if it is known elsewhere".into()),
            );
        }
        id
    }
}

/// Whether a field says something to a server or a proxy, so that it can't hold a key.
fn has_another_meaning(name: &HeaderName) -> bool {
    let meant = [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::COOKIE,
        header::EXPECT,
        header::ORIGIN,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let ours = [
        "keep-alive",
        "sec-fetch-site",
        "forwarded",
        "traceparent",
        "tracestate",
        "x-real-ip",
        "x-request-id",
        "x-bearerd-error",
        "x-bearerd-replayed",
    ];
    meant.contains(name)
        || ours.contains(&name.as_str())
        || ["proxy-", "x-forwarded-"]
            .iter()
            .any(|ours| name.as_str().starts_with(ours))
}

/// The id of a line of `/etc/passwd` or `/etc/group` (passwd(5), group(5)).
fn named(database: &str, name: &str) -> Option<u32> {
    database.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// `AB:CD:…` or `abcd…`.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let mut digest = [0; 32];
    if digits.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nerp:x:1001:33::/:\nbroken\n";
        assert_eq!(named(passwd, "erp"), Some(1001));
        assert_eq!(named(passwd, "root"), Some(0));
        assert_eq!((named(passwd, "er"), named(passwd, "broken")), (None, None));
        assert_eq!(named("adm:x:4:syslog\n", "adm"), Some(4));
    }

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it() {
        let mut expected = [0xab; 32];
        expected[31] = 0x01;
        let colons = format!("{}01", "AB:".repeat(31));
        assert_eq!(fingerprint(&colons), Some(expected));
        assert_eq!(fingerprint(&colons.replace(':', "").to_lowercase()), Some(expected));
        for wrong in ["", "ab", &"ab".repeat(33), &"zz".repeat(32), &"é".repeat(32)] {
            assert_eq!(fingerprint(wrong), None, "{wrong}");
        }
    }
}
