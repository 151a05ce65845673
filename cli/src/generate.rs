//! `autotrim generate`: the manual pages and the shells' completions, for the packages.

mod completions;
mod library;
mod manual;

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Writes them all into a directory.
pub fn generate(directory: &Path) -> Result<ExitCode, Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut files = manual::pages(&command);
    files.push(("libautotrim.7".into(), library::page()));
    files.extend(completions::scripts(&command));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        files.iter().try_for_each(|(name, text)| std::fs::write(directory.join(name), text))
    };
    write().map_err(|error| Failure::not_done(format!("{}: {error}", directory.display())))?;
    Ok(ExitCode::SUCCESS)
}
