//! `bearerd completions` and `bearerd man`: what a package installs beside the program, made from its arguments.

use std::{fs, io::Write, path::PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell that is to read it
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Write bearerd.1 and a page for each command into this directory
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(options: &Completions, output: &mut dyn Write) -> Result<(), Failure> {
    // Whole first: the generator doesn't say what it failed at, and a pipe may be closed early.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "bearerd", &mut script);
    Ok(output.write_all(&script)?)
}

pub(super) fn man(options: &Man, output: &mut dyn Write) -> Result<(), Failure> {
    match &options.dir {
        None => Ok(clap_mangen::Man::new(Arguments::command()).render(output)?),
        Some(directory) => fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory))
            .map_err(|error| Failure::Failed(format!("{} takes no man pages: {error}", directory.display()))),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    /// Every command that help shows.
    fn commands() -> Vec<String> {
        let arguments = Arguments::command();
        let commands = arguments.get_subcommands().filter(|command| !command.is_hide_set());
        commands.map(|command| command.get_name().to_owned()).collect()
    }

    #[test]
    fn each_shell_completes_each_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            completions(&Completions { shell: *shell }, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            for command in commands() {
                assert!(script.contains(&command), "{shell}: {command}");
            }
        }
    }

    #[test]
    fn the_man_page_names_each_command_and_each_has_one_of_its_own() {
        let mut page = Vec::new();
        man(&Man { dir: None }, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(".TH bearerd 1"), "{page}");
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("man1");
        man(
            &Man {
                dir: Some(pages.clone()),
            },
            &mut Vec::new(),
        )
        .unwrap();
        for command in commands() {
            assert!(page.contains(&format!("bearerd\\-{command}(1)")), "{command}: {page}");
            assert!(pages.join(format!("bearerd-{command}.1")).is_file(), "{command}");
        }
    }
}
