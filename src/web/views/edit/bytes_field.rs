//! Payload and key in the editor's form: bytes as text where a form gives them back as they were, else as hex or
//! base64.

use bytes::Bytes;

use super::{hex, typed};
use crate::web::views::payload;

/// A larger binary opens as base64, which takes a third of the characters.
pub(super) const HEX_BYTES: usize = 256 * 1024;

/// How bytes stand in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BytesForm {
    Text,
    Hex,
    Base64,
    Null,
}

impl BytesForm {
    pub(super) const ALL: [Self; 4] = [Self::Text, Self::Hex, Self::Base64, Self::Null];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Null => "null",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == text)
    }
}

/// The payload or the key in the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BytesField {
    pub(super) form: BytesForm,
    pub(super) text: String,
}

impl BytesField {
    /// Bytes as text where a form gives it back as it was, else as hex.
    pub(super) fn of(bytes: Option<&[u8]>) -> Self {
        let (form, text) = match bytes {
            None => (BytesForm::Null, String::new()),
            Some(bytes) => match editable_text(bytes) {
                Some(text) => (BytesForm::Text, text),
                None if bytes.len() <= HEX_BYTES => (BytesForm::Hex, hex::dump(bytes)),
                None => (BytesForm::Base64, base64(bytes)),
            },
        };
        Self { form, text }
    }

    /// The same with one-line JSON laid out.
    pub(super) fn of_body(body: Option<&[u8]>) -> Self {
        let mut field = Self::of(body);
        if field.form == BytesForm::Text && is_one_line_json(&field.text) {
            field.text = payload::json_text(&field.text);
        }
        field
    }

    /// The bytes that it means.
    pub(super) fn bytes(&self) -> Result<Option<Bytes>, String> {
        Ok(match self.form {
            BytesForm::Null => None,
            BytesForm::Hex => Some(hex::parse(&self.text)?),
            BytesForm::Base64 => Some(typed::base64(&self.text)?),
            BytesForm::Text => Some(Bytes::from(self.text.clone())),
        })
    }

    /// The bytes that it means; those of the base if it is as it was opened.
    pub(super) fn bytes_or(
        &self,
        opened: &Self,
        base: Option<&Bytes>,
        what: &str,
    ) -> Result<Option<Bytes>, String> {
        if self == opened {
            return Ok(base.cloned());
        }
        let uses_crlf = base.is_some_and(|body| body.windows(2).any(|pair| pair == b"\r\n"));
        if self.form == BytesForm::Text && opened.form == BytesForm::Text && uses_crlf {
            return Ok(Some(Bytes::from(self.text.replace('\n', "\r\n"))));
        }
        self.bytes().map_err(|wrong| format!("the {what}: {wrong}"))
    }

    /// The same bytes in another form.
    pub(super) fn rewrite(&mut self, form: BytesForm, what: &str) -> Result<(), String> {
        let bytes = self
            .bytes()
            .map_err(|wrong| format!("the {what}: {wrong}"))?;
        let bytes = bytes.unwrap_or_default();
        let text = match form {
            BytesForm::Hex => hex::dump(&bytes),
            BytesForm::Base64 => base64(&bytes),
            BytesForm::Null => String::new(),
            BytesForm::Text => editable_text(&bytes).ok_or_else(|| {
                format!("the {what} holds bytes that are no plain text; edit it as hex")
            })?,
        };
        *self = Self { form, text };
        Ok(())
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn is_one_line_json(text: &str) -> bool {
    !text.contains('\n') && matches!(payload::read(text.as_bytes()), payload::Reading::Json)
}

/// Text that a `<textarea>` gives back as it was, with line breaks as `\n`. Browsers drop or change
/// other control characters, and make all line breaks alike.
fn editable_text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let unified = text.replace("\r\n", "\n");
    let breaks_are_alike = !text.contains("\r\n") || unified.replace('\n', "\r\n") == text;
    (breaks_are_alike && typed::is_plain(&unified)).then_some(unified)
}
