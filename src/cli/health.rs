//! `bearerd health`: asks the running one, for container health checks.

use std::{io::Write, path::PathBuf, time::Duration};

use http::Method;

use super::{
    Failure,
    call::{Ask, call},
    load::addresses,
};
use crate::{admin::Readiness, config::checked::Bind};

/// Below the few seconds that container runtimes give a health check.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn execute(files: &[PathBuf], output: &mut dyn Write) -> Result<(), Failure> {
    let probes = addresses(files)?.probes.ok_or_else(|| {
        Failure::failed("the config has no probes listener to ask: add `probes: { bind: \"127.0.0.1:9900\" }`")
    })?;
    ask(&probes, output)
}

/// Asks the probes at this address; succeeds where they say that requests are served.
pub(super) fn ask(probes: &Bind, output: &mut dyn Write) -> Result<(), Failure> {
    let ask = Ask {
        method: Method::GET,
        path: "/readyz",
        json: None,
        patience: PATIENCE,
    };
    let (status, body) = call(probes, &ask)?;
    let readiness: Readiness = serde_json::from_slice(&body).map_err(|_| {
        Failure::Failed(format!(
            "what answers on the probes' address is not bearerd: it said {status}"
        ))
    })?;
    let verdict = serde_json::to_value(readiness.status).unwrap_or_default();
    let mut text = verdict.as_str().unwrap_or_default().to_owned();
    if !readiness.reasons.is_empty() {
        text.push_str(": ");
        text.push_str(&readiness.reasons.join("; "));
    }
    match status.is_success() {
        true => Ok(writeln!(output, "{text}")?),
        false => Err(Failure::Failed(text)),
    }
}
