use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use similar::TextDiff;

use super::selection::Selection;
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{confirmed_count, visible};
use crate::web::markup::{counted, thousands};
use crate::web::views::laid_out;

/// Between two looks at a repair that goes on.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    selection: Selection,
    /// The jq program, which gets a payload and gives the new one: '.customerId = "c-1"'.
    #[arg(
        long,
        required_unless_present = "program_file",
        conflicts_with = "program_file"
    )]
    program: Option<String>,
    /// A file with the program.
    #[arg(long, value_name = "FILE")]
    program_file: Option<PathBuf>,
    /// Why, for the history.
    #[arg(long)]
    note: Option<String>,
    /// Say what the program would do and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not try it out first and do not ask.
    #[arg(long)]
    yes: bool,
}

impl RepairArgs {
    fn program(&self) -> anyhow::Result<String> {
        match (&self.program, &self.program_file) {
            (Some(program), _) => Ok(program.clone()),
            (None, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display())),
            (None, None) => bail!("give --program or --program-file"),
        }
    }
}

pub(super) async fn run(api: &ApiArgs, args: &RepairArgs) -> anyhow::Result<ExitCode> {
    let mut body = args.selection.body();
    body["program"] = json!(args.program()?);
    if args.dry_run || !args.yes {
        let mut trial = body.clone();
        trial["dry_run"] = json!(true);
        let trial = api.post(&["repairs"], &trial).await?;
        if args.dry_run {
            print_trial(api, &trial);
            return Ok(ExitCode::SUCCESS);
        }
        ask(&trial)?;
    }
    body["note"] = json!(args.note);
    let mut repair = api.post(&["repairs"], &body).await?;
    while repair["finished_at"].is_null() {
        tokio::time::sleep(POLL).await;
        let id = repair["id"].to_string();
        repair = api.get(&["repairs", &id], &[]).await?;
    }
    report(api, &repair)
}

#[expect(clippy::print_stdout, reason = "the trial is what was asked for")]
fn print_trial(api: &ApiArgs, trial: &Value) {
    if api.json {
        println!("{trial}");
    } else {
        print!("{}", for_people(trial));
    }
}

#[expect(clippy::print_stderr, reason = "the question is no part of the result")]
fn ask(trial: &Value) -> anyhow::Result<()> {
    eprint!("{}", for_people(trial));
    let number = |field: &str| trial[field].as_u64().unwrap_or(0);
    if number("changed") == 0 && number("looked_at") == number("selected") {
        bail!("nothing was repaired: the program changes none of them");
    }
    let selected = number("selected");
    let what = counted(selected, "dead letter", "dead letters");
    if !confirmed_count(&format!("Run the program over {what}?"), selected)? {
        bail!("nothing was repaired");
    }
    Ok(())
}

/// The numbers, samples of the difference, and where it fails.
fn for_people(trial: &Value) -> String {
    let mut lines = vec![numbers(trial)];
    for sample in trial["samples"].as_array().into_iter().flatten() {
        lines.push(format!("dead letter {}", sample["dead_letter_id"]));
        lines.extend(difference(sample));
    }
    lines.extend(failures(trial));
    lines.extend(warnings(trial));
    lines.push(String::new());
    lines.join("\n")
}

/// `8 open ones selected: 5 are changed, 2 stay, 1 fails`.
fn numbers(trial: &Value) -> String {
    let number = |field: &str| trial[field].as_u64().unwrap_or(0);
    let (selected, looked_at) = (number("selected"), number("looked_at"));
    let of_first = if looked_at < selected {
        format!(", of the first {}", thousands(looked_at))
    } else {
        String::new()
    };
    format!(
        "{} selected that are open{of_first}: {} changed, {} left as they are, {} failed",
        thousands(selected),
        thousands(number("changed")),
        thousands(number("unchanged")),
        thousands(number("failed"))
    )
}

/// JSON is compared as laid out for people.
fn difference(sample: &Value) -> Vec<String> {
    let text = |field: &str| sample[field].as_str().unwrap_or("");
    let (mut before, mut after) = (laid_out(text("before")), laid_out(text("after")));
    if before == after {
        (before, after) = (text("before").to_owned(), text("after").to_owned());
    }
    let diff = TextDiff::from_lines(&before, &after);
    let diff = diff.unified_diff().header("now", "repaired").to_string();
    diff.lines()
        .map(|line| format!("  {}", visible(line)))
        .collect()
}

fn failures(answer: &Value) -> Vec<String> {
    let failures = answer["failures"].as_array().into_iter().flatten();
    let line = |failure: &Value| {
        let reason = visible(failure["reason"].as_str().unwrap_or(""));
        format!("  {} failed: {reason}", failure["dead_letter_id"])
    };
    failures.map(line).collect()
}

/// What of the changed ones may not arrive as it is written.
fn warnings(trial: &Value) -> Vec<String> {
    let warnings = trial["warnings"].as_array().into_iter().flatten();
    let line = |warning: &Value| {
        let reason = visible(warning["reason"].as_str().unwrap_or(""));
        format!("  {} is changed, but {reason}", warning["dead_letter_id"])
    };
    warnings.map(line).collect()
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn report(api: &ApiArgs, repair: &Value) -> anyhow::Result<ExitCode> {
    if api.json {
        println!("{repair}");
    } else {
        let (id, changed) = (&repair["id"], &repair["changed"]);
        println!(
            "repair {id}: {changed} changed, {} left as they are, {} failed",
            repair["unchanged"], repair["failed"]
        );
        for line in failures(repair) {
            println!("{line}");
        }
        if changed != 0 {
            println!("replay them: redrive dead-letters replay --filter repair:{id}");
        }
    }
    if let Some(problem) = repair["problem"].as_str() {
        bail!("it ended early: {}", visible(problem));
    }
    Ok(ExitCode::SUCCESS)
}
