//! `bearerd presets`: what is built in.

use std::io::{self, Write};

use super::{Failure, init, table};
use crate::config::{self, About};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A preset; without it, all are listed
    name: Option<String>,
}

pub(super) fn execute(options: &Options, output: &mut dyn Write) -> Result<(), Failure> {
    let presets = config::presets();
    match &options.name {
        None => Ok(list(&presets, output)?),
        Some(name) => Ok(show(named(&presets, name)?, output)?),
    }
}

/// The preset of that name, else a usage failure that says which there are.
pub(super) fn named<'a>(presets: &'a [About], name: &str) -> Result<&'a About, Failure> {
    presets.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let names: Vec<&str> = presets.iter().map(|preset| preset.name).collect();
        Failure::Usage(format!("there is no preset '{name}'; there are: {}", names.join(", ")))
    })
}

fn list(presets: &[About], output: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<[String; 2]> = presets
        .iter()
        .map(|preset| [preset.name.to_owned(), preset.about.clone()])
        .collect();
    table::write(output, ["PRESET", "ABOUT"], &rows)?;
    writeln!(
        output,
        "\n`bearerd presets NAME` shows one with its parameters and an example."
    )
}

fn show(preset: &About, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "{}: {}", preset.name, preset.about)?;
    writeln!(output, "after: {}\n", preset.source)?;
    let rows: Vec<[String; 4]> = preset
        .params
        .iter()
        .map(|param| {
            let without = match (&param.default, init::used_by(param, &preset.params)) {
                (Some(default), _) => format!("default {default}"),
                (None, _) if param.required => "required".into(),
                (None, _) if param.ask => "asked by `bearerd login`".into(),
                (None, Some(other)) => format!("give {} instead", other.name),
                (None, None) => "left out".into(),
            };
            [param.name.clone(), param.kind.to_string(), without, param.about.clone()]
        })
        .collect();
    table::write(output, ["PARAMETER", "TYPE", "WITHOUT IT", "ABOUT"], &rows)?;
    section(output, "SUBJECT", &preset.subject)?;
    section(output, "STEP", &preset.steps)?;
    writeln!(
        output,
        "\nAn example, ready to paste; `bearerd check` tells what is missing:\n"
    )?;
    output.write_all(init::parts(&[preset]).as_bytes())
}

fn section(output: &mut dyn Write, head: &str, parts: &[(String, String)]) -> io::Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(output)?;
    let rows: Vec<[String; 2]> = parts
        .iter()
        .map(|(name, about)| [name.clone(), about.clone()])
        .collect();
    table::write(output, [head, "ABOUT"], &rows)
}
