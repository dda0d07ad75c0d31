//! Messages between parent and child: their length in four bytes, then themselves. The child's half is
//! blocking, because it has no runtime.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// No payload and no answer is longer.
const MOST_BYTES: u32 = 64 * 1024 * 1024;

pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    to.write_all(&length(message)?.to_be_bytes()).await?;
    to.write_all(message).await?;
    to.flush().await
}

pub(super) async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = checked(from.read_u32().await?)?;
    let mut message = vec![0; length];
    from.read_exact(&mut message).await?;
    Ok(message)
}

pub(super) fn write(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    to.write_all(&length(message)?.to_be_bytes())?;
    to.write_all(message)?;
    to.flush()
}

pub(super) fn read(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut message = vec![0; checked(u32::from_be_bytes(length))?];
    from.read_exact(&mut message)?;
    Ok(message)
}

fn length(message: &[u8]) -> io::Result<u32> {
    let length = u32::try_from(message.len()).ok();
    length
        .filter(|length| *length <= MOST_BYTES)
        .ok_or_else(|| io::Error::other("a message for the child process is too long"))
}

fn checked(length: u32) -> io::Result<usize> {
    if length > MOST_BYTES {
        return Err(io::Error::other(
            "a message of the child process is too long",
        ));
    }
    usize::try_from(length).map_err(io::Error::other)
}
