//! `bearerd state copy`: from one store to another, with nothing running on either.

use std::{io::Write, path::PathBuf};

use clap::Subcommand;

use super::{Failure, load::load, table};
use crate::{
    assemble::open_store,
    clock::Clock,
    store::{self, Copied, Imported},
};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy every chain from the store of one config to the store of another; stop what runs on either first
    ///
    /// Tokens, claims, seeds and the key of subjects are copied as they are, opened with the keys of the one config and
    /// sealed with those of the other. Newer tokens are never overwritten; copying again does no harm.
    Copy {
        /// The config whose store is read; it is left as it is
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The config whose store is written
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

pub(super) fn execute(options: &Options, output: &mut dyn Write) -> Result<(), Failure> {
    let Command::Copy { from, to } = &options.command;
    let (from, to) = (load(std::slice::from_ref(from))?, load(std::slice::from_ref(to))?);
    if from.config.state == to.config.state {
        return Err(Failure::Usage("both configs name the same store".into()));
    }
    let runtime = super::run::runtime()?;
    let copied = runtime.block_on(async {
        let clock = Clock::system();
        let from = open_store(&from.config, &clock).await.map_err(Failure::failed)?;
        let to = open_store(&to.config, &clock).await.map_err(Failure::failed)?;
        for store in [&from, &to] {
            if !store.is_durable() {
                let words = "the store `memory` is gone with its process, so there is nothing to copy";
                return Err(Failure::Usage(words.into()));
            }
        }
        store::copy(&*from, &*to).await.map_err(Failure::failed)
    })?;
    tell(&copied, output)
}

/// A line a record, and a failure if one was not copied.
fn tell(copied: &[Copied], output: &mut dyn Write) -> Result<(), Failure> {
    let rows: Vec<[String; 3]> = copied
        .iter()
        .map(|Copied { key, outcome }| {
            let (position, result) = match outcome {
                Ok((position, imported)) => (position.to_string(), words(imported)),
                Err(error) => ("-".into(), format!("not copied: {error}")),
            };
            [key.as_str().into(), position, result]
        })
        .collect();
    table::write(output, ["RECORD", "AT", "RESULT"], &rows)?;
    let is_there = |copied: &&Copied| matches!(copied.outcome, Ok((_, Imported::Saved | Imported::Same)));
    let there = copied.iter().filter(is_there).count();
    if there < copied.len() {
        return Err(Failure::Failed(format!(
            "{} of {} records were not copied; the lines above say why",
            copied.len() - there,
            copied.len()
        )));
    }
    Ok(())
}

fn words(imported: &Imported) -> String {
    match imported {
        Imported::Saved => "copied".into(),
        Imported::Same => "was there".into(),
        Imported::Newer(position) => format!("not copied: newer tokens are there ({position})"),
        Imported::Other(position) => {
            format!("not copied: other tokens are there at {position}; see which store was used last")
        }
    }
}
