//! Random tokens, each in the shape that its vendor's document shows.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// How an API makes its tokens.
#[derive(Clone, Copy)]
pub(super) struct Mint {
    /// An access token.
    pub(super) access: fn() -> String,
    /// A refresh token, where the grant gives one.
    pub(super) refresh: Option<fn() -> String>,
}

impl Mint {
    /// The same, without refresh tokens.
    pub(super) fn access_only(self) -> Self {
        Self { refresh: None, ..self }
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The demonstration's tokens guard nothing: should the system's randomness ever fail, they collide and
    // requests are refused, which shows.
    let _ = rand::fill(&mut bytes);
    bytes
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A UUID, version 4 (RFC 9562): `cf02e220-86ea-408d-9b80-fb55f517725b`.
pub(super) fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex(&bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Twenty bytes in URL-safe base64: `xlUuQ5e-h9Y2pRw5G4Du4fAdRfk`.
pub(super) fn url_safe() -> String {
    URL_SAFE_NO_PAD.encode(random::<20>())
}

/// Thirty-two bytes in URL-safe base64.
pub(super) fn long() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

/// Fourteen hexadecimal digits and eight decimal ones: `591ec32096b934-94823072`.
pub(super) fn hex_and_digits() -> String {
    let tail = u32::from_be_bytes(random::<4>()) % 100_000_000;
    format!("{}-{tail:08}", hex(&random::<7>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_look_as_the_documents_show_and_differ() {
        let uuid_text = uuid();
        assert_eq!(uuid_text.len(), 36);
        assert_eq!(&uuid_text[14..15], "4");
        assert_eq!(url_safe().len(), 27);
        assert_eq!(hex_and_digits().len(), 23);
        assert_ne!(uuid(), uuid());
        assert_ne!(hex_and_digits(), hex_and_digits());
    }
}
