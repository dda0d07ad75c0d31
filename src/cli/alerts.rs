//! Writes the alert rules, as they are shipped or for other thresholds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::alerts::{self, RunbookBase, SETTINGS, Thresholds, rule_files};

/// What the rules shall be. The thresholds are options of their own, one for each of
/// [`alerts::SETTINGS`].
#[derive(Debug)]
pub(super) struct AlertsArgs {
    thresholds: Thresholds,
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// Write one file a subject into this folder instead of all rules to standard output.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Where the links to runbooks lead: URL/NAME.md. Redrive itself shows them under its own URL followed
    /// by /alerts.
    #[arg(long, value_name = "URL", value_parser = RunbookBase::parse)]
    runbooks: Option<RunbookBase>,
}

impl Args for AlertsArgs {
    fn augment_args(command: Command) -> Command {
        let threshold = |setting: &'static alerts::Setting| {
            Arg::new(setting.name)
                .long(setting.name)
                .value_name("VALUE")
                .help(format!("{} [default: {}]", setting.help, setting.default))
                .help_heading("Thresholds")
        };
        Options::augment_args(command).args(SETTINGS.iter().map(threshold))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AlertsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut thresholds = Thresholds::default();
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                let changed = thresholds.set(setting.name, value);
                changed.map_err(|error| {
                    clap::Error::raw(
                        clap::error::ErrorKind::ValueValidation,
                        format!("{error}\n"),
                    )
                })?;
            }
        }
        let options = Options::from_arg_matches(matches)?;
        Ok(Self {
            thresholds,
            options,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) fn run(args: &AlertsArgs) -> anyhow::Result<ExitCode> {
    let runbooks = args.options.runbooks.clone().unwrap_or_default();
    match &args.options.output {
        Some(folder) => write_files(folder, &args.thresholds, &runbooks)?,
        None => print(&alerts::all_in_one(&args.thresholds, &runbooks)),
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the rules are what the command is for")]
fn print(rules: &str) {
    print!("{rules}");
}

fn write_files(
    folder: &Path,
    thresholds: &Thresholds,
    runbooks: &RunbookBase,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for file in rule_files() {
        let path = folder.join(file.name);
        let text = alerts::write_file(file, thresholds, runbooks);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
