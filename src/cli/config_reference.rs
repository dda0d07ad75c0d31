//! Prints what can be configured.

use std::process::ExitCode;

use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct ConfigReferenceArgs {
    /// A JSON Schema, by which an editor completes and checks redrive.toml, instead of Markdown.
    #[arg(long)]
    json_schema: bool,
}

#[expect(
    clippy::print_stdout,
    reason = "the reference is what the command is for"
)]
pub(super) fn run(args: &ConfigReferenceArgs) -> ExitCode {
    if args.json_schema {
        println!("{:#}", config::json_schema());
    } else {
        print!("{}", config::reference());
    }
    ExitCode::SUCCESS
}
