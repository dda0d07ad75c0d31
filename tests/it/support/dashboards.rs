//! The dashboards for Grafana.

use std::fs;

use serde_json::Value;

use super::prometheus::root;

/// Every dashboard in `grafana/` with the name of its file.
pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let folder = fs::read_dir(root().join("grafana")).expect("the dashboards are there");
    let paths = folder.map(|entry| entry.expect("readable").path());
    let files = paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    let read = |path: std::path::PathBuf| {
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("readable");
        let dashboard = serde_json::from_str(&text);
        (
            name.clone(),
            dashboard.unwrap_or_else(|error| panic!("{name}: {error}")),
        )
    };
    files.map(read).collect()
}
