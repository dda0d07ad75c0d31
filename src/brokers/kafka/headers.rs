//! Record headers as bytes. The safe API of rdkafka panics on a header name that is not UTF-8 and can
//! only write names that are (broker-facts E.2), so both directions go through librdkafka's own
//! functions here.
//!
//! librdkafka hands out names as C strings: a name that contains a zero byte is read up to there.
#![expect(
    unsafe_code,
    reason = "the only way to headers whose names are not UTF-8"
)]

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::bindings::{
    rd_kafka_header_add, rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers,
    rd_kafka_message_status, rd_kafka_msg_status_t, rd_kafka_resp_err_t,
};
use rdkafka::message::{BorrowedMessage, OwnedHeaders};
use thiserror::Error;

use crate::domain::{AmqpValue, Header, HeaderValue};

/// Why a record cannot be produced with these headers.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum UnwritableHeader {
    #[error(
        "header {name:?} has a type that only RabbitMQ knows; make it text or remove it to send to Kafka"
    )]
    Typed { name: String },
    #[error("librdkafka did not take header {name:?}")]
    Refused { name: String },
}

/// The headers of a consumed record.
pub(super) struct Headers<'m> {
    /// Null if there are none. It lives as long as the message.
    native: *mut rd_kafka_headers_t,
    message: PhantomData<&'m [u8]>,
}

impl<'m> Headers<'m> {
    pub(super) fn of(message: &'m BorrowedMessage<'_>) -> Self {
        let mut native: *mut rd_kafka_headers_t = ptr::null_mut();
        // Safety: the message is alive for the whole call; librdkafka writes a pointer that it owns and
        // that lives as long as the message, or returns an error and leaves the pointer null.
        let result = unsafe { rd_kafka_message_headers(message.ptr(), &raw mut native) };
        let has_none = result == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__NOENT;
        let is_good = result == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        if !has_none && (!is_good || native.is_null()) {
            tracing::warn!(
                topic = message.topic(),
                partition = message.partition(),
                offset = message.offset(),
                "the headers of a record are not what the protocol says; \
                it is taken without them"
            );
        }
        Self {
            native: if is_good { native } else { ptr::null_mut() },
            message: PhantomData,
        }
    }

    /// Of names and values.
    pub(super) fn bytes(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len))
            .sum()
    }

    /// All of them, in order, duplicates and null values included. `copy` is asked for each name and value.
    pub(super) fn copied(&self, mut copy: impl FnMut(&[u8]) -> Bytes) -> Vec<Header> {
        let header = |(name, value): (&[u8], Option<&[u8]>)| Header {
            name: copy(name),
            value: match value {
                Some(value) => HeaderValue::Bytes(copy(value)),
                None => HeaderValue::Null,
            },
        };
        self.iter().map(header).collect()
    }

    fn iter(&self) -> impl Iterator<Item = (&'m [u8], Option<&'m [u8]>)> {
        (0..).map_while(|index| self.get(index))
    }

    fn get(&self, index: usize) -> Option<(&'m [u8], Option<&'m [u8]>)> {
        if self.native.is_null() {
            return None;
        }
        let mut name: *const c_char = ptr::null();
        let mut value: *const c_void = ptr::null();
        let mut size = 0_usize;
        // Safety: `native` is a live header list; an index beyond its end returns an error and writes
        // nothing.
        let result = unsafe {
            rd_kafka_header_get_all(
                self.native,
                index,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            )
        };
        if result != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        // Safety: librdkafka ends every name with a zero byte, and it lives as long as the message.
        let name = unsafe { CStr::from_ptr(name) };
        // Safety: a value that is not null points to `size` bytes that live as long as the message.
        let value = (!value.is_null())
            .then(|| unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) });
        Some((name.to_bytes(), value))
    }
}

/// The headers of a record to be produced, in order, duplicates and null values included.
pub(super) fn write(headers: &[Header]) -> Result<OwnedHeaders, UnwritableHeader> {
    let owned = OwnedHeaders::new_with_capacity(headers.len());
    let native = ptr::from_ref(owned.as_borrowed())
        .cast_mut()
        .cast::<rd_kafka_headers_t>();
    for header in headers {
        // A null header value is a null pointer; an empty one is a pointer to no bytes.
        let (value, size) = match kafka_value(header)? {
            None => (ptr::null(), 0),
            Some(bytes) => (bytes.as_ptr().cast::<c_void>(), bytes.len()),
        };
        // Safety: `native` is the list that `owned` holds, which nobody else uses; name and value are
        // copied by librdkafka. Sizes of slices fit `isize`.
        let result = unsafe {
            rd_kafka_header_add(
                native,
                header.name.as_ptr().cast::<c_char>(),
                header.name.len().cast_signed(),
                value,
                size.cast_signed(),
            )
        };
        if result != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(UnwritableHeader::Refused {
                name: header.name_lossy(),
            });
        }
    }
    Ok(owned)
}

/// A header value as Kafka has them, bytes or null. A typed one must not become null in silence.
fn kafka_value(header: &Header) -> Result<Option<&[u8]>, UnwritableHeader> {
    match &header.value {
        HeaderValue::Null | HeaderValue::Amqp(AmqpValue::Void) => Ok(None),
        value => value
            .as_bytes()
            .map(Some)
            .ok_or_else(|| UnwritableHeader::Typed {
                name: header.name_lossy(),
            }),
    }
}

/// Whether librdkafka believes that a record whose delivery failed is not in the log.
pub(super) fn is_not_persisted(message: &BorrowedMessage<'_>) -> bool {
    // Safety: the message of a delivery report is alive during its callback; the function only reads.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    status == rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}
