//! `redrive dead-letters edit`: a new revision of one dead letter.

mod headers;
mod message;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde_json::{Value, json};

use self::headers::HeaderArgs;
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::confirmed;
use crate::domain::Message;

/// Without an option, the payload is opened in `$EDITOR`.
#[derive(Debug, clap::Args)]
pub(super) struct EditArgs {
    /// Its number, as `list` gives it.
    id: i64,
    /// The new payload: a file, or `-` for standard input.
    #[arg(long)]
    payload: Option<PathBuf>,
    #[command(flatten)]
    headers: HeaderArgs,
    /// Why, for the history.
    #[arg(long, default_value = "")]
    note: String,
    /// Do not show the difference and do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(api: &ApiArgs, args: &EditArgs) -> anyhow::Result<ExitCode> {
    let id = args.id.to_string();
    let letter = api.get(&["dead-letters", &id], &[]).await?;
    let revision = letter["latest_revision"].to_string();
    let path = ["dead-letters", &id, "revisions", &revision];
    let latest = message::parse(&api.get(&path, &[]).await?)?;
    let edited = edited(&latest, args)?;
    let mut change = message::changes(&latest, &edited)?;
    change["builds_on"] = letter["latest_revision"].clone();
    change["note"] = json!(args.note);
    if !args.yes {
        show(&message::difference(&latest, &edited));
        if !confirmed("Save this as a new revision?")? {
            bail!("nothing was saved");
        }
    }
    let saved = api
        .post(&["dead-letters", &id, "revisions"], &change)
        .await?;
    report(api, &saved);
    Ok(ExitCode::SUCCESS)
}

/// A null payload is opened in the editor like an empty one, and stays null if it is left empty.
fn edited(latest: &Message, args: &EditArgs) -> anyhow::Result<Message> {
    let mut edited = latest.clone();
    if let Some(path) = &args.payload {
        edited.body = Some(Bytes::from(read(path)?));
    } else if !args.headers.is_given() {
        let old = latest.body.as_deref().unwrap_or_default();
        let new = in_editor(old, &args.id.to_string())?;
        if new != old {
            edited.body = Some(Bytes::from(new));
        }
    }
    args.headers.apply(&mut edited)?;
    Ok(edited)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let name = path.display();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {name}"))?;
    Ok(bytes)
}

/// Lets a person change the payload in `$EDITOR`.
fn in_editor(payload: &[u8], id: &str) -> anyhow::Result<Vec<u8>> {
    let editor = std::env::var("EDITOR").context("EDITOR is not set; give --payload FILE")?;
    if std::str::from_utf8(payload).is_err() {
        bail!("the payload is binary; give --payload FILE");
    }
    let mut file = tempfile::Builder::new()
        .prefix(&format!("dead-letter-{id}-"))
        .suffix(".json")
        .tempfile()
        .context("cannot create a temporary file")?;
    file.write_all(payload)?;
    file.flush()?;
    let mut words = editor.split_whitespace();
    let program = words
        .next()
        .context("EDITOR is empty; give --payload FILE")?;
    let status = Command::new(program)
        .args(words)
        .arg(file.path())
        .status()
        .with_context(|| format!("cannot start EDITOR={editor}"))?;
    if !status.success() {
        bail!("the editor ended with {status}; nothing was saved");
    }
    read(file.path())
}

#[expect(
    clippy::print_stdout,
    reason = "the difference is shown before it is saved"
)]
fn show(difference: &str) {
    print!("{difference}");
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn report(api: &ApiArgs, saved: &Value) {
    if api.json {
        println!("{saved}");
    } else {
        let (id, revision) = (&saved["dead_letter_id"], &saved["revision"]);
        println!("saved as revision {revision}; replay it: redrive dead-letters replay {id}");
    }
}
