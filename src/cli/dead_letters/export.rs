use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::api_client::ApiArgs;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// For example `status:open error:Timeout`; everything if absent.
    #[arg(long, default_value = "")]
    filter: String,
    /// The file to write, which must not exist yet; standard output if absent.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

pub(super) async fn run(api: &ApiArgs, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let query = [("filter", args.filter.as_str())];
    let mut response = api.download(&["dead-letters", "export"], &query).await?;
    let Some(path) = &args.output else {
        copy(&mut response, &mut std::io::stdout()).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let name = path.display();
    let mut file = File::create_new(path).with_context(|| format!("cannot create {name}"))?;
    let lines = copy(&mut response, &mut file)
        .await
        .with_context(|| format!("{name} is not whole; remove it and export again"))?;
    file.sync_all()
        .with_context(|| format!("cannot write {name}"))?;
    report(api, lines, path);
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::print_stdout,
    reason = "the number is what the command ends with"
)]
fn report(api: &ApiArgs, lines: usize, path: &std::path::Path) {
    if api.json {
        println!("{}", serde_json::json!({ "exported": lines, "file": path }));
    } else {
        println!("{lines} exported to {}", path.display());
    }
}

/// Copies the answer as it comes; answers its lines.
async fn copy(response: &mut reqwest::Response, to: &mut impl Write) -> anyhow::Result<usize> {
    let mut lines = 0;
    while let Some(part) = response.chunk().await.context("the answer broke off")? {
        lines += part.split(|byte| *byte == b'\n').count() - 1;
        to.write_all(&part)?;
    }
    to.flush()?;
    Ok(lines)
}
