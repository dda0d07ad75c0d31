//! Dead letters with everything that storing them needs, so that the one writer does nothing but write.

use super::message_rows::{self, EncodedParts};
use super::search_index::{self, INDEXED_WITH_THE_ROWS};
use super::{StoreError, Unwrap};
use crate::domain::NewDeadLetter;

/// A batch that is ready to be stored. Making one costs far more than writing it: intake does it on another
/// thread while the batch before is written.
#[derive(Debug)]
pub struct PreparedBatch {
    pub(super) entries: Vec<PreparedLetter>,
}

/// One dead letter and its columns that are encoded.
#[derive(Debug)]
pub(super) struct PreparedLetter {
    pub(super) letter: NewDeadLetter,
    pub(super) parts: EncodedParts,
    pub(super) decoded: String,
    /// What it is found by, if the batch is small enough to enter the index with its rows.
    pub(super) document: Option<String>,
}

impl PreparedBatch {
    pub(super) fn new(letters: Vec<NewDeadLetter>, unwrap: Unwrap) -> Result<Self, StoreError> {
        let is_small = letters.len() <= INDEXED_WITH_THE_ROWS;
        let unwrap = is_small.then_some(unwrap);
        let prepare = |letter| PreparedLetter::new(letter, unwrap);
        let entries = letters.into_iter().map(prepare);
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
        })
    }

    /// The dead letters in the order in which they were given.
    pub fn letters(&self) -> impl Iterator<Item = &NewDeadLetter> {
        self.entries.iter().map(|entry| &entry.letter)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl PreparedLetter {
    /// With its document, if it is said how its envelope is opened.
    fn new(letter: NewDeadLetter, unwrap: Option<Unwrap>) -> Result<Self, StoreError> {
        Ok(Self {
            parts: message_rows::encode(&letter.message)?,
            decoded: serde_json::to_string(&letter.decoded)
                .map_err(StoreError::corrupt("decoded"))?,
            document: unwrap.map(|unwrap| search_index::document(&letter, unwrap)),
            letter,
        })
    }
}
