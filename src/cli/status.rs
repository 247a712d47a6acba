//! `bearerd status`: the running one's credentials.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use http::Method;

use super::{
    Failure,
    call::{Ask, call, detail},
    load::addresses,
    table,
};
use crate::{
    admin::{CredentialStatus, Moment, Status},
    clock::Clock,
    config::checked::Bind,
};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print the answer as it comes, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(options: &Options, files: &[PathBuf], output: &mut dyn Write) -> Result<(), Failure> {
    let body = fetch(&admin(files)?)?;
    if options.json {
        output.write_all(&body)?;
        return Ok(writeln!(output)?);
    }
    let status: Status = serde_json::from_slice(&body).map_err(|error| {
        Failure::Failed(format!(
            "the answer can't be read ({error}): is the running bearerd of another version than {}?",
            env!("CARGO_PKG_VERSION")
        ))
    })?;
    Ok(write(&status, Moment(Clock::system().now().wall), output)?)
}

/// The page of the bearerd that runs there.
pub(super) fn fetch(admin: &Bind) -> Result<Bytes, Failure> {
    let ask = Ask {
        method: Method::GET,
        path: "/status",
        json: None,
        patience: PATIENCE,
    };
    match call(admin, &ask)? {
        (code, body) if code.is_success() => Ok(body),
        (code, body) => Err(Failure::Failed(detail(code, &body))),
    }
}

/// The admin listener's address.
pub(super) fn admin(files: &[PathBuf]) -> Result<Bind, Failure> {
    addresses(files)?.admin.ok_or_else(|| {
        Failure::failed(
            "the config has no admin listener to ask: add `admin: { bind: \"127.0.0.1:9901\" }` and restart bearerd",
        )
    })
}

fn write(status: &Status, now: Moment, output: &mut dyn Write) -> io::Result<()> {
    let verdict = serde_json::to_value(status.readiness.status).unwrap_or_default();
    writeln!(
        output,
        "bearerd {}, up for {}: {}",
        status.version,
        span(status.uptime_seconds),
        verdict.as_str().unwrap_or_default()
    )?;
    // What is wrong with a credential is told once, below, with what to do about it.
    let (of_credentials, others): (Vec<_>, Vec<_>) = status
        .readiness
        .reasons
        .iter()
        .partition(|reason| status.credentials.iter().any(|credential| is_about(reason, credential)));
    for reason in others {
        writeln!(output, "  {reason}")?;
    }
    writeln!(output)?;
    let dash = || "-".to_owned();
    let rows: Vec<[String; 7]> = status
        .credentials
        .iter()
        .map(|credential| {
            let position = credential.chain.zip(credential.generation);
            let unsaved = if credential.unsaved { ", not saved" } else { "" };
            [
                credential.name.to_string(),
                format!("{}{unsaved}", credential.state),
                credential.subjects.map_or_else(dash, |count| count.to_string()),
                position.map_or_else(dash, |(chain, generation)| format!("{chain}.{generation}")),
                credential.expires.map_or_else(dash, |at| relative(at, now)),
                credential.next_renewal.map_or_else(dash, |at| relative(at, now)),
                credential.dies.map_or_else(dash, |at| relative(at, now)),
            ]
        })
        .collect();
    let head = [
        "CREDENTIAL",
        "STATE",
        "SUBJECTS",
        "GENERATION",
        "EXPIRES",
        "RENEWS",
        "GRANT DIES",
    ];
    table::write(output, head, &rows)?;
    for credential in &status.credentials {
        let name = &credential.name;
        let reason = of_credentials.iter().find(|reason| is_about(reason, credential));
        let error = credential.last_error.as_ref();
        let Some(mut trouble) = reason
            .map(|reason| (*reason).clone())
            .or_else(|| error.map(|error| format!("{name}: {}", error.text)))
        else {
            if let Some(what) = &credential.what_to_do {
                writeln!(output, "\n{name}: what to do: {what}")?;
            }
            continue;
        };
        if let Some(error) = error {
            trouble.push_str(&format!(" ({})", relative(error.at, now)));
        }
        writeln!(output, "\n{trouble}")?;
        // A trouble's own words may end with the same advice.
        if let Some(what) = credential.what_to_do.as_ref().filter(|what| !trouble.contains(*what)) {
            writeln!(output, "  what to do: {what}")?;
        }
    }
    Ok(())
}

/// Whether a reason of the verdict is this credential's.
fn is_about(reason: &str, credential: &CredentialStatus) -> bool {
    reason
        .strip_prefix(credential.name.as_str())
        .is_some_and(|rest| rest.starts_with(": "))
}

/// A moment as people say it.
fn relative(at: Moment, now: Moment) -> String {
    match at.0.checked_sub(now.0) {
        Some(ahead) => format!("in {}", span(ahead / 1000)),
        None => format!("{} ago", span((now.0 - at.0) / 1000)),
    }
}

/// Seconds in the two largest units that say something.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{LastError, Readiness, Ready};

    #[test]
    fn the_page_says_what_to_do() {
        let live = CredentialStatus {
            name: "fluent".into(),
            state: "live".into(),
            usable: true,
            required: false,
            subjects: None,
            chain: Some(1),
            generation: Some(12),
            obtained: Some(Moment(500_000)),
            expires: Some(Moment(1_000_000 + 3_725_000)),
            next_renewal: Some(Moment(1_000_000 + 61_000)),
            dies: Some(Moment(1_000_000 + 86_400_000)),
            last_error: None,
            what_to_do: None,
            unsaved: true,
            in_doubt: false,
            cooldown: None,
            next_try: None,
            events: Vec::new(),
        };
        let dead = CredentialStatus {
            name: "pos".into(),
            state: "login_required".into(),
            expires: Some(Moment(970_000)),
            next_renewal: None,
            dies: None,
            last_error: Some(LastError {
                at: Moment(100_000),
                code: "refused".into(),
                text: "invalid_grant".into(),
            }),
            what_to_do: Some("bearerd login pos".into()),
            unsaved: false,
            ..live.clone()
        };
        let status = Status {
            version: "1.2.3".into(),
            uptime_seconds: 90_061,
            now: Moment(1_000_000),
            config: None,
            store: None,
            log: None,
            readiness: Readiness {
                status: Ready::Degraded,
                reasons: vec![
                    "the store can't be written".into(),
                    "pos: no usable token: invalid_grant".into(),
                ],
            },
            credentials: vec![live, dead],
            routes: Vec::new(),
        };
        let mut output = Vec::new();
        write(&status, Moment(1_000_000), &mut output).unwrap();
        let expected = "\
bearerd 1.2.3, up for 1 d 1 h: degraded
  the store can't be written

CREDENTIAL  STATE            SUBJECTS  GENERATION  EXPIRES      RENEWS  GRANT DIES
fluent      live, not saved  -         1.12        in 1 h 2 min  in 1 min 1 s  in 1 d 0 h
pos         login_required   -         1.12        30 s ago      -  -

pos: no usable token: invalid_grant (15 min 0 s ago)
  what to do: bearerd login pos
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&String::from_utf8(output).unwrap()), squeezed(expected));
    }
}
