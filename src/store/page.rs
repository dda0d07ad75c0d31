use super::StoreError;

/// Part of a list: at most `limit` items after `cursor`, which an earlier page gave.
#[derive(Clone, Debug)]
pub struct PageRequest {
    pub limit: u32,
    pub cursor: Option<String>,
}

impl PageRequest {
    /// No page holds more, whatever is asked.
    pub const MAX_LIMIT: u32 = 1000;

    pub fn first(limit: u32) -> Self {
        Self {
            limit,
            cursor: None,
        }
    }

    /// Rows to read: one more than the page, to know whether another follows.
    pub(super) fn rows(&self) -> i64 {
        i64::from(self.limit.clamp(1, Self::MAX_LIMIT)) + 1
    }

    /// The cursor as the key of the last row that was given out.
    pub(super) fn key(&self) -> Result<Option<i64>, StoreError> {
        let parse = |cursor: &String| {
            cursor
                .parse()
                .map_err(|_| StoreError::BadCursor(cursor.chars().take(64).collect()))
        };
        self.cursor.as_ref().map(parse).transpose()
    }
}

/// Some items of a list and where the next page starts.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A list without items.
    pub const fn empty() -> Self {
        Self {
            items: Vec::new(),
            next_cursor: None,
        }
    }

    /// Makes a page of what was read for [`PageRequest::rows`].
    pub(super) fn of<K: ToString>(
        mut items: Vec<T>,
        request: &PageRequest,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let limit = usize::try_from(request.rows() - 1).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items
            .last()
            .filter(|_| more)
            .map(|last| key(last).to_string());
        Self { items, next_cursor }
    }
}
