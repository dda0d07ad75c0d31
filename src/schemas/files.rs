//! The files that `[schemas]` names.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::SchemasError;
use crate::config::SchemasConfig;
use crate::sandbox::SchemaDocument;

/// A schema is written by people.
const MOST_BYTES: u64 = 1024 * 1024;

/// More are no folder of schemas.
const MOST_FILES: usize = 1_000;

/// A schema with the event types that it is for.
#[derive(Debug)]
pub(super) struct SchemaFile {
    pub(super) path: PathBuf,
    pub(super) document: SchemaDocument,
    pub(super) event_types: Vec<String>,
}

/// Reads them all: what is named for a type goes before the file of that name in the folder.
pub(super) fn read(config: &SchemasConfig) -> Result<Vec<SchemaFile>, SchemasError> {
    let mut files: Vec<SchemaFile> = Vec::new();
    for named in &config.types {
        let event_type = named.event_type.clone();
        match files.iter_mut().find(|file| file.path == named.file) {
            Some(file) => file.event_types.push(event_type),
            None => files.push(read_file(named.file.clone(), vec![event_type])?),
        }
    }
    let named: HashSet<String> = config
        .types
        .iter()
        .map(|named| named.event_type.clone())
        .collect();
    for path in folder(config.folder.as_deref())? {
        let event_type = event_type_of(&path).filter(|name| !named.contains(name));
        files.push(read_file(path, event_type.into_iter().collect())?);
    }
    // References lead to names of files, so that each name stands for one.
    let mut seen = HashSet::new();
    for file in &mut files {
        if !seen.insert(file.document.name.clone()) {
            file.document.name = file.path.display().to_string();
        }
    }
    Ok(files)
}

/// The `.json` files of the folder, by name.
fn folder(folder: Option<&Path>) -> Result<Vec<PathBuf>, SchemasError> {
    let Some(folder) = folder else {
        return Ok(Vec::new());
    };
    let unreadable = |source| SchemasError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if event_type_of(&path).is_some() {
            paths.push(path);
        }
        if paths.len() > MOST_FILES {
            return Err(SchemasError::TooMany {
                path: folder.to_owned(),
                most: MOST_FILES,
            });
        }
    }
    paths.sort();
    Ok(paths)
}

/// `OrderCreated` of `OrderCreated.schema.json`.
fn event_type_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    let name = name.strip_suffix(".schema").unwrap_or(name);
    (!name.is_empty()).then(|| name.to_owned())
}

fn read_file(path: PathBuf, event_types: Vec<String>) -> Result<SchemaFile, SchemasError> {
    let text = text_of(&path).map_err(|source| SchemasError::Unreadable {
        path: path.clone(),
        source,
    })?;
    if text.len() as u64 > MOST_BYTES {
        let most = MOST_BYTES;
        return Err(SchemasError::TooLarge { path, most });
    }
    // The child says it too, but not of which file.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(&text) {
        let fault = format!("is no JSON: {error}");
        return Err(SchemasError::Fault { path, fault });
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name = name.to_string_lossy().into_owned();
    Ok(SchemaFile {
        document: SchemaDocument { name, text },
        path,
        event_types,
    })
}

/// One byte more than a schema may have, at most.
fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SchemaConfig;

    #[test]
    fn a_file_is_for_the_event_type_that_it_is_named_after() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(
                event_type_of(Path::new(name)).as_deref(),
                expected,
                "{name}"
            );
        };
        check("/x/OrderCreated.schema.json", Some("OrderCreated"));
        check("/x/order.created.v1.json", Some("order.created.v1"));
        check("/x/notes.md", None);
        check("/x/.json", None);
    }

    #[test]
    fn what_is_named_for_a_type_goes_before_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("A.json"), "{}").unwrap();
        fs::write(path("B.schema.json"), "{}").unwrap();
        fs::create_dir(path("more")).unwrap();
        fs::write(path("more/A.json"), "true").unwrap();
        let config = SchemasConfig {
            folder: Some(folder.path().to_owned()),
            types: vec![SchemaConfig {
                event_type: "A".to_owned(),
                file: path("more/A.json"),
            }],
            gate_replays: false,
        };
        let files = read(&config).unwrap();
        let known: Vec<_> = files
            .iter()
            .map(|file| (file.document.text.as_str(), file.event_types.as_slice()))
            .collect();
        let (a, b): (&[String], &[String]) = (&["A".to_owned()], &["B".to_owned()]);
        assert_eq!(known, [("true", a), ("{}", &[]), ("{}", b)]);
        assert_ne!(files[0].document.name, files[1].document.name);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let config = |file: PathBuf| SchemasConfig {
            types: vec![SchemaConfig {
                event_type: "A".to_owned(),
                file,
            }],
            ..SchemasConfig::default()
        };
        let missing = folder.path().join("missing.json");
        let error = read(&config(missing)).unwrap_err();
        assert!(error.to_string().contains("missing.json"), "{error}");
        let large = folder.path().join("large.json");
        fs::write(&large, vec![b' '; 1024 * 1024 + 1]).unwrap();
        let error = read(&config(large)).unwrap_err();
        assert!(matches!(error, SchemasError::TooLarge { .. }), "{error}");
        let broken = folder.path().join("broken.json");
        fs::write(&broken, "{").unwrap();
        let error = read(&config(broken)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("broken.json cannot be used: is no JSON"),
            "{error}"
        );
    }
}
