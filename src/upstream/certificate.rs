//! When a certificate ends: the one field that rustls checks without telling it.

use jiff::{civil::DateTime, tz::TimeZone};

const SEQUENCE: u8 = 0x30;
/// The version's tag (RFC 5280 §4.1): `[0] EXPLICIT`.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of a certificate in DER (RFC 5280 §4.1), in milliseconds since the Unix epoch.
pub(super) fn expiry(der: &[u8]) -> Option<u64> {
    let (certificate, _) = value(der, SEQUENCE)?;
    let (mut rest, _) = value(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, _) = value(rest, SEQUENCE)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The value of the element that must come first, and what follows it.
fn value(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, value, rest) = element(der)?;
    (tag == wanted).then_some((value, rest))
}

/// The first element: its tag, its value, and what follows it (X.690 §8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], mut rest) = der.split_first_chunk::<2>()?;
    let length = match first {
        short @ 0..=0x7f => usize::from(short),
        // No certificate is longer than four bytes of length can say.
        long @ 0x81..=0x84 => {
            let (digits, after) = rest.split_at_checked(usize::from(long & 0x7f))?;
            rest = after;
            digits
                .iter()
                .fold(0, |length, digit| (length << 8) | usize::from(*digit))
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// RFC 5280 §4.1.2.5: always in UTC, always with seconds.
fn time(tag: u8, text: &str) -> Option<u64> {
    let digits = match tag {
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 {
                "20"
            } else {
                "19"
            };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let moment = DateTime::strptime("%Y%m%d%H%M%SZ", &digits).ok()?;
    let stamp = moment.to_zoned(TimeZone::UTC).ok()?.timestamp();
    u64::try_from(stamp.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 4);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn both_kinds_of_time_are_read() {
        // 2031-03-04 and, in GeneralizedTime, 2061-03-04.
        assert_eq!(expiry(&made(2031)), Some(1_930_348_800_000));
        assert_eq!(expiry(&made(2061)), Some(2_877_120_000_000));
    }

    #[test]
    fn what_is_no_certificate_has_no_end_and_does_no_harm() {
        let whole = made(2031);
        // The end of its validity stands well before the middle of so small a certificate.
        for length in 0..100 {
            assert_eq!(expiry(&whole[..length]), None);
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            let _ = expiry(&changed);
        }
    }
}
