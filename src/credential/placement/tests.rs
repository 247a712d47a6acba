use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use proptest::prelude::*;

use super::*;
use crate::template::Part;

fn access_template(before: &str) -> Template {
    Template::new(vec![
        Part::Written(before.into()),
        Part::Reference(Scope::Token, "access".into()),
    ])
}

fn inject(placement: &Placement, token: &str) -> Result<Injection, PlacementError> {
    placement.inject_from(&SecretString::from(token))
}

fn bearer() -> Placement {
    Placement::Header {
        name: AUTHORIZATION,
        value: access_template("Bearer "),
    }
}

#[test]
fn bearer_and_basic_are_sensitive_headers() {
    let basic = Placement::Basic {
        username: Template::written("bearer"),
        password: access_template(""),
    };
    for (placement, expected) in [(bearer(), "Bearer t0k"), (basic, "Basic YmVhcmVyOnQwaw==")] {
        let Ok(Injection::Header(name, value)) = inject(&placement, "t0k") else {
            panic!("a header placement")
        };
        assert_eq!((name, value.as_bytes()), (AUTHORIZATION, expected.as_bytes()));
        assert!(value.is_sensitive());
        assert_eq!(placement.header(), Some(&AUTHORIZATION));
    }
}

#[test]
fn parameters_are_encoded_once_for_queries_and_forms() {
    for placement in [Placement::Query("api key".into()), Placement::Form("api key".into())] {
        assert_eq!(placement.parameter(), Some("api key"));
        match inject(&placement, "a+b/ü &").unwrap() {
            Injection::Query { name, pair } | Injection::Form { name, pair } => {
                assert_eq!(&*name, "api key");
                assert_eq!(pair.expose_secret(), "api%20key=a%2Bb%2F%C3%BC%20%26");
            }
            Injection::Header(..) => panic!("a parameter placement"),
        }
    }
}

#[test]
fn law_9_debug_shows_no_token() {
    for placement in [bearer(), Placement::Query("k".into()), Placement::Form("k".into())] {
        let shown = format!("{placement:?} {:?}", inject(&placement, "canary").unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn a_token_that_cannot_stand_there_is_refused_without_telling_it() {
    for token in ["canary\r\nx: y", "canary ", "canary\0"] {
        let error = inject(&bearer(), token).unwrap_err();
        assert!(matches!(&error, PlacementError::Header { name, .. } if name == AUTHORIZATION));
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    let as_user = Placement::Basic {
        username: access_template(""),
        password: Template::written(""),
    };
    assert_eq!(inject(&as_user, "a:b").unwrap_err(), PlacementError::Colon);
    assert_eq!(inject(&as_user, "a\nb").unwrap_err(), PlacementError::Control);
}

#[test]
fn law_8_the_callers_own_header_never_stays() {
    let session = HeaderName::from_static("x-session");
    let mut headers = HeaderMap::new();
    for name in [
        "authorization",
        "authorization",
        "x-session",
        "x-session",
        "x_session",
        "x-other",
    ] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static("callers"));
    }
    let mut without = headers.clone();
    strip_headers(&mut without, None);
    assert!(!without.contains_key(AUTHORIZATION));
    assert_eq!(without.len(), 4);

    put_header(&mut headers, &session, &HeaderValue::from_static("ours"));
    let left: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&("x-session", b"ours")));
    assert!(left.contains(&("x-other", b"callers")));
}

#[test]
fn law_8_the_callers_own_parameter_is_found_however_it_is_encoded() {
    for (query, left) in [
        ("api_key=1", ""),
        ("api_key", ""),
        ("api%5Fkey=1&a=2", "a=2"),
        ("a=2&api%5fkey=1", "a=2"),
        ("%61%70%69%5f%6b%65%79=1", ""),
        ("a=1;api_key=x&b=%zz", "a=1&b=%zz"),
        ("api_key=1&api_key=2&&b", "&b"),
        ("a=%26api_key=1", "a=%26api_key=1"),
        ("API_KEY=1&api_key[]=2&xapi_key=3", "API_KEY=1&api_key[]=2&xapi_key=3"),
        ("", ""),
        ("&&", "&&"),
    ] {
        assert_eq!(strip_query(query, "api_key"), left, "{query}");
    }
    for spelt in ["a+b=1", "a%20b=1", "%61+%62"] {
        assert_eq!(strip_query(spelt, "a b"), "", "{spelt}");
    }
    assert_eq!(strip_query("a%2Bb=1", "a b"), "a%2Bb=1", "an encoded plus is a plus");
}

#[test]
fn ours_is_added_last() {
    assert_eq!(rewrite_query(None, "k", "k=v"), "k=v");
    assert_eq!(rewrite_query(Some(""), "k", "k=v"), "k=v");
    assert_eq!(rewrite_query(Some("k=1&a=%20+"), "k", "k=v"), "a=%20+&k=v");
    assert_eq!(rewrite_form(b"", "k", "k=v"), b"k=v");
    assert_eq!(rewrite_form(b"a=\xff&%6b=1&b", "k", "k=v"), b"a=\xff&b&k=v");
}

#[test]
fn a_location_loses_our_parameter_and_nothing_else() {
    for (location, left) in [
        ("/next?api_key=1", "/next"),
        ("/next?api_key=1#part", "/next#part"),
        (
            "https://a.example/?p=2&api%5Fkey=1&q=3#?api",
            "https://a.example/?p=2&q=3#?api",
        ),
        ("/next?", "/next?"),
        ("/next#a?api_key=1", "/next#a?api_key=1"),
        ("", ""),
    ] {
        assert_eq!(strip_location(location, "api_key"), left, "{location}");
    }
}

/// The name with some of its characters percent-encoded, and spaces as pluses where they are not.
fn spelt(name: &str, encode: &[bool]) -> String {
    name.chars()
        .zip(encode.iter().cycle())
        .map(|(c, encode)| match c {
            ' ' if !encode => "+".to_owned(),
            c if *encode || !c.is_ascii_alphanumeric() => {
                let all: String = c.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
                all
            }
            c => c.to_string(),
        })
        .collect()
}

proptest! {
    #[test]
    fn law_8_any_spelling_is_removed_and_other_pairs_stay(
        name in "[a-z_é \\[\\]]{1,8}",
        encode in prop::collection::vec(any::<bool>(), 1..8),
        before in "[a-z0-9%=&+]{0,20}",
        after in "[a-z0-9%=&+]{0,20}",
    ) {
        let name = format!("{name}Q");
        let query = format!("{before}&{}=x&{after}", spelt(&name, &encode));
        prop_assert_eq!(strip_query(&query, &name).into_owned(), format!("{before}&{after}"));
    }

    #[test]
    fn rewriting_twice_is_rewriting_once(query in "[a-z0-9%=&;+k]{0,40}", body in prop::collection::vec(any::<u8>(), 0..60)) {
        let once = rewrite_query(Some(&query), "k", "k=v");
        prop_assert_eq!(&rewrite_query(Some(&once), "k", "k=v"), &once);
        let once = rewrite_form(&body, "k", "k=v");
        prop_assert_eq!(rewrite_form(&once, "k", "k=v"), once);
    }

    #[test]
    fn a_form_without_ours_is_kept_byte_for_byte(body in prop::collection::vec(any::<u8>(), 1..60)) {
        let kept = rewrite_form(&body, "a-name-that-no-random-body-has", "n=v");
        prop_assert_eq!(&kept[..body.len()], &body[..]);
        prop_assert_eq!(&kept[body.len()..], b"&n=v");
    }

    #[test]
    fn any_token_reaches_a_query_exactly(token in any::<String>()) {
        let Injection::Query { pair, .. } = inject(&Placement::Query("k".into()), &token).unwrap() else {
            panic!("a query placement")
        };
        let sent = percent_decode_str(pair.expose_secret()).decode_utf8().unwrap().into_owned();
        prop_assert_eq!(sent, format!("k={token}"));
        let encoded = utf8_percent_encode(&token, NON_ALPHANUMERIC).to_string();
        prop_assert!(encoded.len() >= pair.expose_secret().len() - 2);
    }
}
