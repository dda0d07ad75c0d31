//! `redrive dead-letters …`: from a shell what the pages do, one file a subcommand.

mod list;
mod replay;
mod show;

use std::process::ExitCode;

use super::api_client::ApiArgs;

/// Exit codes: 0 done, 1 a replay did not come to a good end, 2 the request was refused or failed.
#[derive(Debug, clap::Args)]
pub(super) struct DeadLettersArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DeadLettersCommand {
    /// List the dead letters that match a filter, the newest first.
    List(list::ListArgs),
    /// Show one dead letter: error, headers, payload, history.
    Show(show::ShowArgs),
    /// Replay dead letters by ID, or all that match a filter.
    Replay(replay::ReplayArgs),
}

pub(super) async fn run(args: &DeadLettersArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        DeadLettersCommand::List(list) => list::run(&args.api, list).await,
        DeadLettersCommand::Show(show) => show::run(&args.api, show).await,
        DeadLettersCommand::Replay(replay) => replay::run(&args.api, replay).await,
    }
}
