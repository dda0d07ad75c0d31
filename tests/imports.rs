//! Cargo does not police the direction of imports inside one crate; this test does.
//!
//! It reads the table of allowed imports in `ARCHITECTURE.md` and every `crate::` path under `src/`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crates that only one module may name (design.md, "Source tree and allowed imports").
const CONFINED: [(&str, &str); 9] = [
    ("rdkafka", "brokers/kafka"),
    ("rdkafka_sys", "brokers/kafka"),
    ("kafka_protocol", "brokers/kafka"),
    ("lapin", "brokers/rabbitmq"),
    ("sqlx", "store"),
    ("prometheus", "metrics"),
    ("axum", "web"),
    ("askama", "web"),
    ("rust_embed", "web"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Rows `| `module` | owns | a, b |` of the table under "Allowed imports".
fn allowed_imports() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text
        .split("## Allowed imports")
        .nth(1)
        .expect("the section is there");
    let table = section.split("\n## ").next().unwrap_or_default();
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [module, _, imports] = cells[..] else {
            return None;
        };
        let module = module.strip_prefix('`')?.strip_suffix('`')?;
        let imports = imports
            .split(',')
            .map(|name| name.trim().trim_matches('`').to_owned());
        Some((
            module.to_owned(),
            imports.filter(|name| !name.is_empty()).collect(),
        ))
    };
    table
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(row)
        .collect()
}

/// The module of a file: the first folder or file name under `src/`.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).unwrap();
    let first = relative
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The code without comments, in which a path may be mentioned.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Modules named by `crate::module` or `crate::{module, …}`.
fn imported_modules(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let names: Vec<String> = match after.strip_prefix('{') {
            Some(list) => {
                let list = list.split("};").next().unwrap_or_default();
                list.split(',')
                    .map(|item| identifier(item.trim()))
                    .collect()
            }
            None => vec![identifier(after)],
        };
        modules.extend(names.into_iter().filter(|name| !name.is_empty()));
    }
    modules
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn modules_import_only_what_architecture_allows() {
    let allowed = allowed_imports();
    assert!(allowed.len() > 10, "the table was not read: {allowed:?}");
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut violations = Vec::new();
    for file in &files {
        let module = module_of(file);
        if module == "lib" {
            continue;
        }
        let Some(permitted) = allowed.get(&module) else {
            violations.push(format!("src/{module} has no row in ARCHITECTURE.md"));
            continue;
        };
        for imported in imported_modules(&code_of(file)) {
            let fine =
                imported == module || permitted.contains("all") || permitted.contains(&imported);
            if allowed.contains_key(&imported) && !fine {
                violations.push(format!("{} imports {imported}", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn each_client_library_is_named_in_its_own_module_only() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut violations = Vec::new();
    for file in &files {
        let code = code_of(file);
        let relative = file
            .strip_prefix(root().join("src"))
            .unwrap()
            .to_string_lossy()
            .into_owned();
        for (library, home) in CONFINED {
            let named =
                code.contains(&format!("{library}::")) || code.contains(&format!("use {library};"));
            if named && !relative.starts_with(home) {
                violations.push(format!("{relative} names {library}"));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn a_forbidden_import_would_be_found() {
    let code = "use crate::{domain, web};\nuse crate::store::Store;\nlet x = crate::replay::Plan;";
    let found = imported_modules(code);
    let expected = ["domain", "replay", "store", "web"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}
