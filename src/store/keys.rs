//! Encryption at rest: what a store writes is sealed with the first of `state.keys`, and opened with any of them.
//!
//! A sealed text is `sealed:KEY_ID:BASE64`, of the nonce and what AES-256-GCM-SIV (RFC 8452) makes of the content, with
//! the identity of what it is as associated data: nothing can be read in another's place. Without keys it is
//! `plain:BASE64:CONTENT`, with the SHA-256 of the same identity and content, so that damage is told from tokens.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, hmac,
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::StoreError;

/// How many bytes of a key's hash name it beside what it sealed: enough to tell an operator's keys apart.
const ID_LEN: usize = 4;

const SEALED: &str = "sealed";
const PLAIN: &str = "plain";

/// The keys of a store, the first of which seals. Debug shows their ids.
#[derive(Clone, Default)]
pub struct Keys(Arc<[StateKey]>);

struct StateKey {
    id: String,
    cipher: RandomizedNonceKey,
}

impl Keys {
    /// The keys made of these texts. A text is a key's whole entropy: it is hashed, not stretched.
    ///
    /// # Errors
    /// The cipher takes no key: the system is out of memory.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a SecretString>) -> Result<Self, StoreError> {
        let keys: Result<_, _> = texts.into_iter().map(StateKey::of).collect();
        keys.map(Self).map_err(|fault| StoreError {
            store: "token",
            verb: "take state.keys",
            reason: format!("what it is to hold {fault}"),
        })
    }

    /// No keys: what is written is plain.
    pub fn none() -> Self {
        Self::default()
    }

    /// Seals `content` as what `identity` says it is.
    pub(super) fn seal(&self, identity: &[&str], content: &[u8]) -> Result<String, SealFault> {
        let Some(StateKey { id, cipher }) = self.0.first() else {
            let content = std::str::from_utf8(content).map_err(|_| SealFault::Damaged)?;
            return Ok(format!("{PLAIN}:{}:{content}", digest_of(identity, content)));
        };
        let mut sealed = content.to_vec();
        let nonce = cipher
            .seal_in_place_append_tag(Aad::from(associated(identity)), &mut sealed)
            .map_err(|_| SealFault::Cipher)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        Ok(format!("{SEALED}:{id}:{}", STANDARD_NO_PAD.encode(bytes)))
    }

    /// The content of what was sealed, or written plain before there were keys.
    pub(super) fn open(&self, identity: &[&str], text: &str) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        let mut parts = text.splitn(3, ':');
        let (Some(how), Some(by), Some(content)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealFault::Damaged);
        };
        match how {
            PLAIN if digest_of(identity, content) == by => Ok(Zeroizing::new(content.as_bytes().to_vec())),
            SEALED => self.decipher(identity, by, content),
            _ => Err(SealFault::Damaged),
        }
    }

    fn decipher(&self, identity: &[&str], id: &str, content: &str) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        let is_id = id.len() == 2 * ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Err(SealFault::Damaged);
        }
        let Some(StateKey { cipher, .. }) = self.0.iter().find(|key| key.id == id) else {
            return Err(SealFault::OtherKey {
                id: id.into(),
                any: !self.0.is_empty(),
            });
        };
        let bytes = STANDARD_NO_PAD.decode(content).map_err(|_| SealFault::Damaged)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or(SealFault::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealFault::Damaged)?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let length = cipher
            .open_in_place(nonce, Aad::from(associated(identity)), &mut opened)
            .map_err(|_| SealFault::Damaged)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }

    /// Whether this text is as it would be written now: sealed with the first key, or plain where there is none.
    pub(super) fn is_current(&self, text: &str) -> bool {
        let prefix = self.prefix();
        text.strip_prefix(prefix.as_str()).is_some()
    }

    /// What each text begins with that is written now.
    pub(super) fn prefix(&self) -> String {
        match self.0.first() {
            Some(key) => format!("{SEALED}:{}:", key.id),
            None => format!("{PLAIN}:"),
        }
    }
}

impl StateKey {
    fn of(text: &SecretString) -> Result<Self, SealFault> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, text.expose_secret().as_bytes());
        let id = hmac::sign(&key, b"bearerd state key: id");
        let cipher = hmac::sign(&key, b"bearerd state key: AES-256-GCM-SIV");
        Ok(Self {
            id: hex(&id.as_ref()[..ID_LEN]),
            cipher: RandomizedNonceKey::new(&AES_256_GCM_SIV, cipher.as_ref()).map_err(|_| SealFault::Cipher)?,
        })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// Why a text could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealFault {
    /// It was sealed with a key that is not here.
    #[error("is sealed with {} (id {id}); put that key into state.keys", if *any { "another key" } else { "a key, and there is none here" })]
    OtherKey { id: String, any: bool },
    /// It is not what was written.
    #[error("is damaged: what it holds is not what was written")]
    Damaged,
    /// The cipher failed.
    #[error("can't be sealed; restart bearerd")]
    Cipher,
}

/// The parts, each after its length, so that no two identities read the same.
fn associated(identity: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in identity {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

fn digest_of(identity: &[&str], content: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&associated(identity));
    context.update(content.as_bytes());
    STANDARD_NO_PAD.encode(context.finish())
}

/// As hexadecimal text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(texts: &[&str]) -> Keys {
        let texts: Vec<SecretString> = texts.iter().map(|text| (*text).into()).collect();
        Keys::of(&texts).unwrap()
    }

    fn opened(keys: &Keys, identity: &[&str], text: &str) -> Result<String, SealFault> {
        let bytes = keys.open(identity, text)?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn what_is_sealed_with_any_key_is_opened_and_the_first_one_seals() {
        let [old, both, turned, new] = [&["old"][..], &["old", "new"], &["new", "old"], &["new"]].map(keys);
        let text = old.seal(&["a"], b"canary").unwrap();
        assert!(!text.contains("canary"));
        assert_eq!(opened(&both, &["a"], &text), Ok("canary".into()));
        assert_eq!(opened(&turned, &["a"], &text), Ok("canary".into()));
        assert!(both.is_current(&text) && !turned.is_current(&text));
        let text = turned.seal(&["a"], b"canary").unwrap();
        assert_eq!(opened(&both, &["a"], &text), Ok("canary".into()));
        assert_eq!(opened(&new, &["a"], &text), Ok("canary".into()));
        assert!(matches!(
            opened(&old, &["a"], &text),
            Err(SealFault::OtherKey { any: true, .. })
        ));
    }

    #[test]
    fn without_keys_a_sealed_text_is_not_opened_and_a_plain_one_is_with_them() {
        let sealed = keys(&["key"]).seal(&["a"], b"canary").unwrap();
        let fault = opened(&Keys::none(), &["a"], &sealed).unwrap_err();
        assert!(fault.to_string().contains("state.keys"), "{fault}");
        let plain = Keys::none().seal(&["a"], b"canary").unwrap();
        assert_eq!(opened(&keys(&["key"]), &["a"], &plain), Ok("canary".into()));
        assert!(!keys(&["key"]).is_current(&plain) && Keys::none().is_current(&plain));
    }

    #[test]
    fn nothing_is_opened_in_another_s_place() {
        for keys in [keys(&["key"]), Keys::none()] {
            let text = keys.seal(&["record", "ab", "c"], b"canary").unwrap();
            for identity in [&["record", "a", "bc"][..], &["record", "ab"], &["secret", "ab", "c"]] {
                assert_eq!(opened(&keys, identity, &text), Err(SealFault::Damaged));
            }
        }
    }

    #[test]
    fn the_same_content_is_never_the_same_text() {
        let keys = keys(&["key"]);
        assert_ne!(keys.seal(&["a"], b"canary"), keys.seal(&["a"], b"canary"));
    }

    #[test]
    fn debug_shows_ids() {
        assert!(!format!("{:?}", keys(&["canary"])).contains("canary"));
    }

    proptest! {
        /// Whatever becomes of one byte, what is opened is what was sealed, or nothing is.
        #[test]
        fn a_changed_byte_opens_nothing_else(sealed: bool, at: prop::sample::Index, byte: u8) {
            let keys = if sealed { keys(&["key"]) } else { Keys::none() };
            let text = keys.seal(&["a"], b"canary").unwrap();
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(changed) = String::from_utf8(bytes)
                && let Ok(content) = opened(&keys, &["a"], &changed)
            {
                prop_assert_eq!(content, "canary");
            }
        }
    }
}
