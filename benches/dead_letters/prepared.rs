//! Prepared statements of the SQLite that the crate links, without anything between: what the peer inserts
//! with.
#![expect(unsafe_code, reason = "the C interface of SQLite")]

use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr;

use anyhow::{Context as _, Result, bail};
use libsqlite3_sys as ffi;

/// A connection of one thread.
pub(crate) struct Connection {
    raw: *mut ffi::sqlite3,
}

pub(crate) struct Statement<'c> {
    raw: *mut ffi::sqlite3_stmt,
    connection: PhantomData<&'c Connection>,
}

pub(crate) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

pub(crate) struct Row(pub(crate) Vec<Value>);

impl Row {
    /// The first column, of a table whose key it is.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self.0.first() {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }
}

impl Connection {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = CString::new(path.to_str().context("the path is no UTF-8")?)?;
        let mut raw = ptr::null_mut();
        // Safety: the path ends with NUL and `raw` is closed when this is dropped, also after a failure.
        let code = unsafe { ffi::sqlite3_open(path.as_ptr(), &raw mut raw) };
        let connection = Self { raw };
        connection.check(code)?;
        Ok(connection)
    }

    pub(crate) fn execute(&self, sql: &str) -> Result<()> {
        let sql = CString::new(sql)?;
        // Safety: the connection is open and the text ends with NUL.
        let code = unsafe {
            ffi::sqlite3_exec(
                self.raw,
                sql.as_ptr(),
                None,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        self.check(code)
    }

    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement<'_>> {
        let sql = CString::new(sql)?;
        let mut raw = ptr::null_mut();
        // Safety: the connection is open, the text ends with NUL, and the statement lives no longer than
        // the connection that it borrows.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                self.raw,
                sql.as_ptr(),
                -1,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &raw mut raw,
                ptr::null_mut(),
            )
        };
        self.check(code)?;
        Ok(Statement {
            raw,
            connection: PhantomData,
        })
    }

    /// All rows of a query; `parameter` is its only one, if it has one.
    pub(crate) fn rows(&self, sql: &str, parameter: i64) -> Result<Vec<Row>> {
        let statement = self.prepare(sql)?;
        let mut rows = Vec::new();
        // Safety: the statement is alive; a query without a parameter refuses the value, which is fine.
        unsafe { ffi::sqlite3_bind_int64(statement.raw, 1, parameter) };
        loop {
            // Safety: as above.
            match unsafe { ffi::sqlite3_step(statement.raw) } {
                ffi::SQLITE_ROW => rows.push(statement.row()),
                ffi::SQLITE_DONE => return Ok(rows),
                code => return Err(self.error(code)),
            }
        }
    }

    fn check(&self, code: c_int) -> Result<()> {
        if code == ffi::SQLITE_OK {
            Ok(())
        } else {
            Err(self.error(code))
        }
    }

    fn error(&self, code: c_int) -> anyhow::Error {
        // Safety: the message lives until the next call on the connection.
        let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.raw)) };
        anyhow::anyhow!("SQLite: {} ({code})", message.to_string_lossy())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Safety: no statement outlives the connection.
        unsafe { ffi::sqlite3_close(self.raw) };
    }
}

impl Statement<'_> {
    /// Runs it once with the values of a row.
    pub(crate) fn run(&mut self, row: &Row) -> Result<()> {
        for (position, value) in (1..).zip(&row.0) {
            self.bind(position, value);
        }
        // Safety: the values that were bound live until the reset.
        let code = unsafe {
            let code = ffi::sqlite3_step(self.raw);
            ffi::sqlite3_reset(self.raw);
            code
        };
        if code != ffi::SQLITE_DONE {
            bail!("SQLite refused a row with code {code}");
        }
        Ok(())
    }

    fn bind(&self, position: c_int, value: &Value) {
        let length = |bytes: &[u8]| c_int::try_from(bytes.len()).unwrap_or(c_int::MAX);
        // Safety: the statement is alive, and so are texts and blobs until `run` resets it.
        unsafe {
            match value {
                Value::Null => ffi::sqlite3_bind_null(self.raw, position),
                Value::Integer(number) => ffi::sqlite3_bind_int64(self.raw, position, *number),
                Value::Real(number) => ffi::sqlite3_bind_double(self.raw, position, *number),
                Value::Text(text) => ffi::sqlite3_bind_text(
                    self.raw,
                    position,
                    text.as_ptr().cast(),
                    length(text),
                    ffi::SQLITE_STATIC(),
                ),
                Value::Blob(bytes) => ffi::sqlite3_bind_blob(
                    self.raw,
                    position,
                    bytes.as_ptr().cast(),
                    length(bytes),
                    ffi::SQLITE_STATIC(),
                ),
            };
        }
    }

    fn row(&self) -> Row {
        // Safety: the statement is at a row.
        let columns = unsafe { ffi::sqlite3_column_count(self.raw) };
        Row((0..columns).map(|column| self.value(column)).collect())
    }

    fn value(&self, column: c_int) -> Value {
        // Safety: the statement is at a row, whose bytes are copied before it moves on.
        unsafe {
            match ffi::sqlite3_column_type(self.raw, column) {
                ffi::SQLITE_NULL => Value::Null,
                ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_column_int64(self.raw, column)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_column_double(self.raw, column)),
                ffi::SQLITE_TEXT => Value::Text(self.bytes(column)),
                _ => Value::Blob(self.bytes(column)),
            }
        }
    }

    unsafe fn bytes(&self, column: c_int) -> Vec<u8> {
        // Safety: the caller is at a row; an empty value may have no address.
        unsafe {
            let start: *const u8 = ffi::sqlite3_column_blob(self.raw, column).cast();
            let length = ffi::sqlite3_column_bytes(self.raw, column);
            match usize::try_from(length) {
                Ok(length) if length > 0 && !start.is_null() => {
                    std::slice::from_raw_parts(start, length).to_vec()
                }
                _ => Vec::new(),
            }
        }
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // Safety: it is finalised once.
        unsafe { ffi::sqlite3_finalize(self.raw) };
    }
}
