//! `bearerd log`: what the running one writes to its log.

use std::{io::Write, path::PathBuf, time::Duration};

use http::Method;

use super::{
    Failure,
    call::{Ask, call, detail},
    status::admin,
};
use crate::admin::LogStatus;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A level (off, error, warn, info, debug, trace), or target=level, or several with commas between; without it the
    /// one in use is shown
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

pub(super) fn execute(options: &Options, files: &[PathBuf], output: &mut dyn Write) -> Result<(), Failure> {
    let ask = Ask {
        method: if options.filter.is_some() {
            Method::PUT
        } else {
            Method::GET
        },
        path: "/log",
        json: options
            .filter
            .as_ref()
            .map(|level| serde_json::json!({ "level": level }).to_string()),
        patience: PATIENCE,
    };
    let (code, body) = call(&admin(files)?, &ask)?;
    let log: LogStatus = match code.is_success() {
        true => serde_json::from_slice(&body).map_err(|error| Failure::Failed(error.to_string()))?,
        false => return Err(Failure::Failed(detail(code, &body))),
    };
    match log.level == log.configured {
        true => writeln!(output, "{}, as the config says", log.level)?,
        false => writeln!(
            output,
            "{}, until a restart; the config says {}",
            log.level, log.configured
        )?,
    }
    Ok(())
}
