//! `redrive dead-letters groups …`: failure groups and what people say of them.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{table, visible, width};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct GroupsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<GroupsCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum GroupsCommand {
    /// List the failure groups with members that match; so does `groups` alone.
    List(ListArgs),
    /// Count what is open by exception, source, type, consumer or dlq.
    By(ByArgs),
    /// Show a failure group with its notes.
    Show(GroupArgs),
    /// Add a note.
    Note(NoteArgs),
    /// Say who takes care of it; without a name, nobody does.
    Assign(AssignArgs),
    /// Show its redrive policy, by which it replays by itself, and what that did.
    Policy(GroupArgs),
    /// Give it a redrive policy, or change it.
    SetPolicy(SetPolicyArgs),
    /// Remove its redrive policy.
    RemovePolicy(GroupArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only groups with members that match; all if absent.
    #[arg(long, default_value = "")]
    filter: String,
    /// new, regressed, growing, open or resolved.
    #[arg(long)]
    state: Option<String>,
    /// last, open, total or first.
    #[arg(long)]
    order: Option<String>,
    /// At most so many, from 1 to 1000.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// `next_cursor` of the list before.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ByArgs {
    /// exception, source, type, consumer or dlq.
    field: String,
    /// Only of what matches; all that is open if absent.
    #[arg(long, default_value = "")]
    filter: String,
}

#[derive(Debug, clap::Args)]
struct GroupArgs {
    /// The group, as `groups` names it.
    group: String,
}

#[derive(Debug, clap::Args)]
struct NoteArgs {
    #[command(flatten)]
    group: GroupArgs,
    text: String,
}

#[derive(Debug, clap::Args)]
struct AssignArgs {
    #[command(flatten)]
    group: GroupArgs,
    name: Option<String>,
}

/// What is left out is as in a new policy.
#[derive(Debug, clap::Args)]
struct SetPolicyArgs {
    #[command(flatten)]
    group: GroupArgs,
    /// Keep the policy switched off.
    #[arg(long)]
    off: bool,
    /// How often each event is replayed at most, over all its deaths.
    #[arg(long)]
    attempts: Option<u32>,
    /// Between a death and the first attempt, for example 1m.
    #[arg(long)]
    first_delay: Option<String>,
    /// How much longer each delay is than the one before.
    #[arg(long)]
    factor: Option<u32>,
    /// At most so many events per second.
    #[arg(long, value_name = "EVENTS")]
    rate: Option<u32>,
    /// Switch it off when so many percent of a run died again.
    #[arg(long, value_name = "PERCENT")]
    stop_percent: Option<u8>,
}

pub(super) async fn run(api: &ApiArgs, args: &GroupsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => list(api, &args.list).await?,
        Some(GroupsCommand::List(asked)) => list(api, asked).await?,
        Some(GroupsCommand::By(asked)) => pivot(api, asked).await?,
        Some(GroupsCommand::Show(asked)) => {
            print_group(api, &api.get(&["failure-groups", &asked.group], &[]).await?);
        }
        Some(GroupsCommand::Note(note)) => {
            let path = ["failure-groups", &note.group.group, "notes"];
            let body = json!({ "text": note.text });
            print_group(api, &api.post(&path, &body).await?);
        }
        Some(GroupsCommand::Assign(assign)) => {
            let path = ["failure-groups", &assign.group.group, "assignee"];
            let body = json!({ "assignee": assign.name });
            print_group(api, &api.put(&path, &body).await?);
        }
        Some(GroupsCommand::Policy(asked)) => {
            print_policy(api, &api.get(&policy_path(asked), &[]).await?);
        }
        Some(GroupsCommand::SetPolicy(asked)) => set_policy(api, asked).await?,
        Some(GroupsCommand::RemovePolicy(asked)) => remove_policy(api, asked).await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
async fn list(api: &ApiArgs, args: &ListArgs) -> anyhow::Result<()> {
    let limit = args.limit.to_string();
    let mut query = vec![("filter", args.filter.as_str()), ("limit", &limit)];
    query.extend(args.state.as_deref().map(|state| ("state", state)));
    query.extend(args.order.as_deref().map(|order| ("order", order)));
    query.extend(args.cursor.as_deref().map(|cursor| ("cursor", cursor)));
    let page = api.get(&["failure-groups"], &query).await?;
    if api.json {
        println!("{page}");
        return Ok(());
    }
    let items = page["items"].as_array().into_iter().flatten();
    let rows: Vec<_> = items.map(group_row).collect();
    if rows.is_empty() {
        println!("no failure group matches");
        return Ok(());
    }
    let header = [
        "GROUP", "OPEN", "TOTAL", "STATES", "LAST", "ASSIGNEE", "TITLE",
    ];
    print!("{}", table(&header, &rows, width()));
    if let Some(cursor) = page["next_cursor"].as_str() {
        println!("more follow: --cursor {}", visible(cursor));
    }
    Ok(())
}

fn group_row(group: &Value) -> Vec<String> {
    vec![
        text(&group["id"]),
        group["open"].to_string(),
        group["total"].to_string(),
        states(group),
        text(&group["last_seen"]),
        text(&group["assignee"]),
        text(&group["title"]),
    ]
}

fn states(group: &Value) -> String {
    let states = group["states"].as_array().into_iter().flatten();
    states.map(text).collect::<Vec<_>>().join(",")
}

#[expect(
    clippy::print_stdout,
    reason = "the counts are what the command is for"
)]
async fn pivot(api: &ApiArgs, args: &ByArgs) -> anyhow::Result<()> {
    let path = ["dead-letters", "by", &args.field];
    let answer = api.get(&path, &[("filter", &args.filter)]).await?;
    if api.json {
        println!("{answer}");
        return Ok(());
    }
    let row = |item: &Value| {
        vec![
            item["open"].to_string(),
            item["failure_groups"].to_string(),
            text(&item["last_death"]),
            text(&item["value"]),
        ]
    };
    let items = answer["items"].as_array().into_iter().flatten();
    let rows: Vec<_> = items.map(row).collect();
    let value = visible(&args.field.to_uppercase());
    print!(
        "{}",
        table(&["OPEN", "GROUPS", "LAST", &value], &rows, width())
    );
    if answer["is_cut"] == true {
        println!(
            "only {} open ones were counted; narrow it by --filter",
            answer["looked_at"]
        );
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the group is what the command is for")]
fn print_group(api: &ApiArgs, group: &Value) {
    if api.json {
        println!("{group}");
        return;
    }
    println!("{}", text(&group["title"]));
    let facts = [
        ("group", text(&group["id"])),
        ("grouped by", text(&group["explanation"])),
        ("states", states(group)),
        ("open", format!("{} of {}", group["open"], group["total"])),
        ("first seen", text(&group["first_seen"])),
        ("last seen", text(&group["last_seen"])),
        ("newest", group["newest_dead_letter_id"].to_string()),
        ("assignee", text(&group["assignee"])),
    ];
    for (name, value) in facts {
        println!("{name:12} {value}");
    }
    for note in group["notes"].as_array().into_iter().flatten() {
        let (author, at) = (text(&note["author"]), text(&note["created_at"]));
        println!("\n{author}, {at}");
        for line in note["text"].as_str().unwrap_or("").lines() {
            println!("  {}", visible(line));
        }
    }
}

fn policy_path(args: &GroupArgs) -> [&str; 3] {
    ["failure-groups", &args.group, "redrive-policy"]
}

async fn set_policy(api: &ApiArgs, args: &SetPolicyArgs) -> anyhow::Result<()> {
    let body = json!({
        "enabled": !args.off,
        "attempts": args.attempts,
        "first_delay": args.first_delay,
        "factor": args.factor,
        "events_per_second": args.rate,
        "stop_percent": args.stop_percent,
    });
    print_policy(api, &api.put(&policy_path(&args.group), &body).await?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
async fn remove_policy(api: &ApiArgs, args: &GroupArgs) -> anyhow::Result<()> {
    api.delete(&policy_path(args)).await?;
    if api.json {
        println!("{}", json!({ "removed": args.group }));
    } else {
        println!("the policy was removed");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the policy is what the command is for")]
fn print_policy(api: &ApiArgs, policy: &Value) {
    if api.json {
        println!("{policy}");
        return;
    }
    let on = policy["enabled"] == true;
    println!("the policy is {}", if on { "on" } else { "off" });
    if policy["stopped_reason"].is_string() {
        println!(
            "it switched itself off: {}",
            text(&policy["stopped_reason"])
        );
    }
    println!(
        "at most {} attempts, the first after {}, each delay {} times the one before",
        policy["attempts"],
        text(&policy["first_delay"]),
        policy["factor"]
    );
    if let Some(rate) = policy["events_per_second"].as_u64() {
        println!("at most {rate} events per second");
    }
    println!("off when {} % of a run died again", policy["stop_percent"]);
    println!(
        "{} events in {} runs so far; {} wait for their time",
        policy["events"], policy["runs"], policy["waiting"]
    );
    for skipped in policy["skipped"].as_array().into_iter().flatten() {
        println!(
            "  {} left to a person: {}",
            skipped["count"],
            text(&skipped["reason"])
        );
    }
}

fn text(value: &Value) -> String {
    visible(value.as_str().unwrap_or("-"))
}
