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
        let meant: Vec<&str> = names.iter().copied().filter(|preset| is_part(name, preset)).collect();
        let meant = match &*meant {
            [] => config::closest(name, names.iter().copied()).into_iter().collect(),
            _ => meant,
        };
        let meant = match &*meant {
            [] => String::new(),
            meant => format!("did you mean '{}'? ", meant.join("' or '")),
        };
        Failure::Usage(format!(
            "there is no preset '{name}'; {meant}there are: {}",
            names.join(", ")
        ))
    })
}

/// Whether these are words of a preset's name.
fn is_part(name: &str, preset: &str) -> bool {
    !name.is_empty() && format!("-{preset}-").contains(&format!("-{}-", name.replace('_', "-").to_lowercase()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> String {
        named(&config::presets(), name).unwrap_err().to_string()
    }

    #[test]
    fn a_name_that_is_nearly_one_is_answered_with_what_was_meant() {
        assert!(
            refusal("fluent").starts_with(
                "there is no preset 'fluent'; did you mean 'fluent-commerce' or 'fluent-commerce-integration'? there \
                 are: flow-retail-integration, "
            ),
            "{}",
            refusal("fluent")
        );
        assert!(refusal("flow_retail_user").contains("did you mean 'flow-retail-user'?"));
        assert!(refusal("flowlu-apikey").contains("did you mean 'flowlu-api-key'?"));
        assert!(refusal("zzzz").starts_with("there is no preset 'zzzz'; there are: "));
    }
}
