use std::process::ExitCode;

use anyhow::bail;

use super::selection::Selection;
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::visible;

#[derive(Debug, clap::Args)]
pub(super) struct FetchBodiesArgs {
    #[command(flatten)]
    selection: Selection,
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
pub(super) async fn run(api: &ApiArgs, args: &FetchBodiesArgs) -> anyhow::Result<ExitCode> {
    let answer = api.post(&["body-fetches"], &args.selection.body()).await?;
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (fetched, refused) = (list("fetched"), list("refused"));
    if api.json {
        println!("{answer}");
    } else {
        println!("{} fetched", fetched.len());
        for refusal in &refused {
            let reason = refusal["reason"].as_str().unwrap_or_default();
            println!("{}: {}", refusal["dead_letter_id"], visible(reason));
        }
    }
    if !refused.is_empty() {
        bail!("bodies that were not fetched: {}", refused.len());
    }
    Ok(ExitCode::SUCCESS)
}
