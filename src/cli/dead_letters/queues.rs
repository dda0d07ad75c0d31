//! `redrive dead-letters queues …`: looks at RabbitMQ DLQs, and who keeps their messages.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::custody::accepted;
use crate::cli::api_client::ApiArgs;

#[derive(Debug, clap::Args)]
pub(super) struct QueuesArgs {
    #[command(subcommand)]
    command: QueuesCommand,
}

#[derive(Debug, clap::Subcommand)]
enum QueuesCommand {
    /// Show the first messages of a queue and give them back; read on in a stream.
    Look(LookArgs),
    /// From now on move its messages into the store as they arrive.
    Manage(QueueArgs),
    /// End that; what was moved stays in the store.
    Unmanage(QueueArgs),
}

#[derive(Debug, clap::Args)]
struct QueueArgs {
    /// The cluster, as the configuration calls it.
    cluster: String,
    queue: String,
    /// Its virtual host.
    #[arg(long, default_value = "/")]
    vhost: String,
}

#[derive(Debug, clap::Args)]
struct LookArgs {
    #[command(flatten)]
    queue: QueueArgs,
    /// Accept that this counts as a delivery of each message that it shows, where a delivery limit counts it.
    #[arg(long)]
    accept_cost: bool,
}

impl QueueArgs {
    fn path<'a>(&'a self, what: &'a str) -> [&'a str; 5] {
        ["queues", &self.cluster, &self.vhost, &self.queue, what]
    }
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
pub(super) async fn run(api: &ApiArgs, args: &QueuesArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        QueuesCommand::Look(look) => {
            let path = look.queue.path("look");
            let answer = api.post_query(&path, accepted(look.accept_cost)).await?;
            if api.json {
                println!("{answer}");
            } else {
                println!("{}", seen(&answer));
            }
        }
        QueuesCommand::Manage(queue) => {
            set_custody(api, queue, "managed").await?;
            println!("its messages are moved into the store as they arrive");
        }
        QueuesCommand::Unmanage(queue) => {
            set_custody(api, queue, "observe").await?;
            println!("its messages stay in the queue from now on");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set_custody(api: &ApiArgs, queue: &QueueArgs, custody: &str) -> anyhow::Result<()> {
    let body = json!({ "custody": custody });
    api.post_unanswered(&queue.path("custody"), &body).await
}

fn seen(answer: &Value) -> String {
    let of = match answer["ready"].as_u64() {
        Some(ready) => format!("of {ready} in the queue"),
        None => "of the stream".to_owned(),
    };
    let kept = match answer["kept"].as_u64() {
        None | Some(0) => String::new(),
        Some(kept) => {
            format!(", {kept} moved into the store, since they had too few deliveries left")
        }
    };
    format!("seen {} {of}, new {}{kept}", answer["seen"], answer["new"])
}
