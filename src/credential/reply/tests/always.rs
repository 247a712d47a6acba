//! What holds for any answer.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn any_purpose() -> impl Strategy<Value = Purpose> {
    prop::sample::select(vec![Purpose::Refresh, Purpose::SignIn, Purpose::Step])
}

/// Values that a careless server may put anywhere.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_member() -> impl Strategy<Value = (String, Value)> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "access_token",
            "token",
            "expires_in",
            "expires_at",
            "refresh_expires_in",
            "error",
            "errors",
            "code",
            "message",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    (name, any_json())
}

fn texts_are_printable(outcome: &Outcome) -> bool {
    let Outcome::Refused(refusal) = outcome else {
        return true;
    };
    [&refusal.code, &refusal.text]
        .into_iter()
        .flatten()
        .all(|text| !text.is_empty() && text.chars().count() <= 250 && !text.contains(char::is_control))
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        status in 100_u16..1000,
        body in prop::collection::vec(any::<u8>(), 0..200),
        cut in any::<bool>(),
        purpose in any_purpose(),
        date in "[ -~]{0,40}",
    ) {
        let case = case(status, body).to(purpose).header("date", &date).header("retry-after", &date).with(|case| case.cut = cut);
        prop_assert!(texts_are_printable(&case.outcome()));
    }

    #[test]
    fn nothing_that_looks_like_json_makes_it_panic(
        status in 100_u16..1000,
        body in r#"\{[{}\[\]",:\\u0-9a-fd8é \n-]{0,60}"#,
        purpose in any_purpose(),
    ) {
        prop_assert!(texts_are_printable(&case(status, body).to(purpose).outcome()));
    }

    #[test]
    fn mending_leaves_json_alone(value in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(super::mend::mend(&text), text);
    }

    #[test]
    fn no_json_makes_it_panic(
        status in 100_u16..1000,
        members in prop::collection::vec(any_member(), 0..8),
        purpose in any_purpose(),
    ) {
        let body = Value::Object(members.into_iter().collect()).to_string();
        prop_assert!(texts_are_printable(&case(status, body).to(purpose).outcome()));
    }

    #[test]
    fn law_5_no_complete_success_loses_its_refresh_token(
        status in 200_u16..300,
        refresh in "[!-~]{1,40}",
        members in prop::collection::vec(any_member(), 0..8),
        cut in any::<bool>(),
        purpose in any_purpose(),
    ) {
        let mut fields: serde_json::Map<String, Value> = members.into_iter().collect();
        fields.insert("refresh_token".into(), json!(refresh));
        let case = case(status, Value::Object(fields).to_string()).to(purpose).with(|case| case.cut = cut);
        let Outcome::Granted(tokens) = case.outcome() else {
            return Err(TestCaseError::fail("nothing was granted"));
        };
        prop_assert_eq!(text(tokens.refresh.as_ref()), Some(refresh.as_str()));
    }
}
