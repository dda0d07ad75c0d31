//! `redrive dead-letters …`: from a shell what the pages do, one file a subcommand.

mod custody;
mod discard;
mod edit;
mod export;
mod fetch_bodies;
mod filters;
mod groups;
mod import;
mod list;
mod preflight;
mod queues;
mod repair;
mod replay;
mod replay_options;
mod replays;
mod selection;
mod show;

use std::process::ExitCode;

use super::api_client::ApiArgs;

/// Below the help of `redrive dead-letters`.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 a replay did not come to a good end; 2 the request was refused or \
    failed; 3 a replay was sent and not seen again, which is no proof that it was consumed. 1 and 3 only with --wait.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct DeadLettersArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DeadLettersCommand {
    /// List the dead letters that match a filter, the newest first or the oldest.
    List(list::ListArgs),
    /// Show one dead letter: error, headers, payload, history.
    Show(show::ShowArgs),
    /// Change payload, key, headers or properties of one dead letter; the original stays.
    Edit(edit::EditArgs),
    /// Change the payloads of many by a jq program; the originals stay.
    Repair(repair::RepairArgs),
    /// Replay dead letters by ID, or all that match a filter.
    Replay(replay::ReplayArgs),
    /// Look at replay jobs; pause, resume and cancel them, decide what is unknown.
    Replays(replays::ReplaysArgs),
    /// Look at failure groups, note and assign them.
    Groups(groups::GroupsArgs),
    /// Put dead letters aside, with a reason and for a time.
    Discard(discard::DiscardArgs),
    /// Bring discarded dead letters back.
    Restore(discard::RestoreArgs),
    /// Fetch bodies that were too large for the store from their Kafka topics.
    FetchBodies(fetch_bodies::FetchBodiesArgs),
    /// Take one out of its observed RabbitMQ queue into the store, from where it can be replayed.
    Take(custody::TakeArgs),
    /// Publish what was taken out of RabbitMQ queues back into them.
    Return(custody::ReturnArgs),
    /// Look at RabbitMQ DLQs, manage them, or end that.
    Queues(queues::QueuesArgs),
    /// List, save and remove filters that have a name.
    Filters(filters::FiltersArgs),
    /// Write what matches as lines of JSON, with all that is needed to import it elsewhere.
    Export(export::ExportArgs),
    /// Import what another Redrive exported; the same line twice is one dead letter.
    Import(import::ImportArgs),
}

pub(super) async fn run(args: &DeadLettersArgs) -> anyhow::Result<ExitCode> {
    let api = &args.api;
    match &args.command {
        DeadLettersCommand::List(list) => list::run(api, list).await,
        DeadLettersCommand::Show(show) => show::run(api, show).await,
        DeadLettersCommand::Edit(edit) => edit::run(api, edit).await,
        DeadLettersCommand::Repair(repair) => repair::run(api, repair).await,
        DeadLettersCommand::Replay(replay) => replay::run(api, replay).await,
        DeadLettersCommand::Replays(replays) => replays::run(api, replays).await,
        DeadLettersCommand::Groups(groups) => groups::run(api, groups).await,
        DeadLettersCommand::Discard(discard) => discard::discard(api, discard).await,
        DeadLettersCommand::Restore(restore) => discard::restore(api, restore).await,
        DeadLettersCommand::FetchBodies(fetch) => fetch_bodies::run(api, fetch).await,
        DeadLettersCommand::Take(take) => custody::take(api, take).await,
        DeadLettersCommand::Return(back) => custody::give_back(api, back).await,
        DeadLettersCommand::Queues(queues) => queues::run(api, queues).await,
        DeadLettersCommand::Filters(filters) => filters::run(api, filters).await,
        DeadLettersCommand::Export(export) => export::run(api, export).await,
        DeadLettersCommand::Import(import) => import::run(api, import).await,
    }
}
