//! `redrive dead-letters edit`: a new revision of one dead letter.

mod headers;
mod key_and_properties;
mod message;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde_json::{Value, json};

use self::headers::HeaderArgs;
use self::key_and_properties::{KeyArgs, PropertyArgs};
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{confirmed, visible};
use crate::domain::Message;
use crate::web::views::back_to;

/// Without an option, the payload is opened in `$EDITOR`.
#[derive(Debug, clap::Args)]
pub(super) struct EditArgs {
    /// Its number, as `list` gives it.
    id: i64,
    /// The new payload: a file, or `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "no_payload")]
    payload: Option<PathBuf>,
    /// A null payload: Kafka's tombstone, which is not the same as an empty one.
    #[arg(long)]
    no_payload: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    headers: HeaderArgs,
    #[command(flatten)]
    properties: PropertyArgs,
    /// Make the newest revision what that one was; 0 is the original.
    #[arg(
        long,
        value_name = "REVISION",
        conflicts_with_all = ["payload", "no_payload", "KeyArgs", "HeaderArgs", "PropertyArgs"]
    )]
    revert_to: Option<u32>,
    /// Why, for the history.
    #[arg(long)]
    note: Option<String>,
    /// Do not show the difference and do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(api: &ApiArgs, args: &EditArgs) -> anyhow::Result<ExitCode> {
    let id = args.id.to_string();
    let letter = api.get(&["dead-letters", &id], &[]).await?;
    let builds_on = &letter["latest_revision"];
    let latest = message_of(api, &id, &builds_on.to_string()).await?;
    let (edited, note) = match args.revert_to {
        None => (edited(&latest, args)?, None),
        Some(number) => {
            let message = earlier(api, &letter, number).await?;
            (message, Some(back_to(number)))
        }
    };
    let mut change = message::changes(&latest, &edited)?;
    change["builds_on"] = builds_on.clone();
    change["note"] = json!(args.note.clone().or(note));
    if !args.yes && !agrees_to(&message::difference(&latest, &edited))? {
        bail!("nothing was saved");
    }
    let saved = api
        .post(&["dead-letters", &id, "revisions"], &change)
        .await?;
    report(api, &saved);
    Ok(ExitCode::SUCCESS)
}

async fn message_of(api: &ApiArgs, id: &str, revision: &str) -> anyhow::Result<Message> {
    let path = ["dead-letters", id, "revisions", revision];
    message::parse(&api.get(&path, &[]).await?)
}

/// The message of a revision, if it is here.
async fn earlier(api: &ApiArgs, letter: &Value, number: u32) -> anyhow::Result<Message> {
    let id = letter["id"].to_string();
    if let (0, Some(omitted)) = (number, letter["payload_omitted"].as_str()) {
        let omitted = visible(omitted);
        bail!("dead letter {id} cannot go back to its original: {omitted}");
    }
    message_of(api, &id, &number.to_string()).await
}

/// The latest revision with what the options change; without any, with what a person makes of its payload.
fn edited(latest: &Message, args: &EditArgs) -> anyhow::Result<Message> {
    let mut edited = latest.clone();
    if let Some(path) = &args.payload {
        edited.body = Some(Bytes::from(read(path)?));
    } else if args.no_payload {
        edited.body = None;
    } else if !args.names_a_change() {
        // A null payload is opened like an empty one, and stays null if it is left empty.
        let old = latest.body.as_deref().unwrap_or_default();
        let new = in_editor(old, &args.id.to_string())?;
        if new != old {
            edited.body = Some(Bytes::from(new));
        }
    }
    args.key.apply(&mut edited)?;
    args.headers.apply(&mut edited)?;
    args.properties.apply(&mut edited)?;
    Ok(edited)
}

impl EditArgs {
    /// Whether a part other than the payload is named.
    fn names_a_change(&self) -> bool {
        self.key.is_given() || self.headers.is_given() || self.properties.is_given()
    }
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

#[expect(clippy::print_stderr, reason = "the question is no part of the result")]
fn agrees_to(difference: &str) -> anyhow::Result<bool> {
    eprint!("{difference}");
    confirmed("Save this as a new revision?")
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
