use super::*;
use crate::{
    cli::fixture::{self, grant, question},
    credential::spec::SubjectPart,
    template::Template,
};

fn step(name: &str, own: &[&str], asks: &[&str], then: Then) -> Step {
    Step {
        name: name.parse().unwrap(),
        about: Some(format!("what {name} does")),
        ask: own.iter().map(|name| question(name)).collect(),
        grant: grant(asks),
        then,
    }
}

fn spec(sign_in: Option<Grant>, steps: Vec<Step>) -> Spec {
    Spec {
        sign_in,
        steps,
        refresh: Some(grant(&[])),
        ask: vec![question("username"), question("password")],
        ..fixture::spec()
    }
}

fn errand(spec: &Spec, name: Option<&str>) -> Result<(Option<String>, Vec<String>), String> {
    Errand::of(spec, name).map(|errand| {
        let names = errand.questions.iter().map(|ask| ask.name.clone()).collect();
        (errand.step.map(ToString::to_string), names)
    })
}

#[test]
fn only_what_the_requests_need_is_asked() {
    let spec = spec(
        Some(grant(&["password"])),
        vec![
            step("link", &["code"], &["code", "username"], Then::Refresh),
            step("create", &["password"], &["password"], Then::SignIn),
        ],
    );
    assert_eq!(errand(&spec, None).unwrap(), (None, vec!["password".into()]));
    let linked = (Some("link".into()), vec!["code".into(), "username".into()]);
    assert_eq!(errand(&spec, Some("link")).unwrap(), linked);
    let created = (Some("create".into()), vec!["password".into()]);
    assert_eq!(errand(&spec, Some("create")).unwrap(), created, "not asked twice");
}

#[test]
fn an_only_step_needs_no_name() {
    let spec = spec(None, vec![step("link", &["code"], &["code"], Then::Refresh)]);
    assert_eq!(errand(&spec, None).unwrap(), (Some("link".into()), vec!["code".into()]));
}

#[test]
fn what_cannot_be_done_is_said_with_what_can() {
    let two = spec(
        None,
        vec![
            step("link", &[], &[], Then::Nothing),
            step("unlink", &[], &[], Then::Nothing),
        ],
    );
    let words = errand(&two, None).unwrap_err();
    assert!(words.contains("link (what link does), unlink"), "{words}");
    let words = errand(&two, Some("lnik")).unwrap_err();
    assert!(words.contains("no step 'lnik'; it has: link"), "{words}");

    let words = errand(&spec(None, Vec::new()), None).unwrap_err();
    assert!(words.contains("device_code"), "{words}");

    let mut fixed = spec(None, Vec::new());
    fixed.fixed = Some("canary".into());
    let words = errand(&fixed, None).unwrap_err();
    assert!(words.contains("fixed token") && !words.contains("canary"), "{words}");

    let mut many = spec(Some(grant(&[])), Vec::new());
    many.subject.push(SubjectPart {
        name: "tenant".into(),
        from: Template::default(),
    });
    assert!(errand(&many, None).unwrap_err().contains("each subject"));
}
