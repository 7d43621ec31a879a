//! The two tasks of a connection: one writes frames, one reads them. Each ends with the connection.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use kabuki_protocol::codec::EncodedFrame;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::Calls;

/// What is set aside for an answer before its bytes are there; more is paid for as it arrives.
const FRAME_BYTES_FIRST: usize = 64 << 10;

/// Slices of one write.
const SLICES_MAX: usize = 64;

/// Writes frames until the connection is dropped or fails.
pub(super) async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<EncodedFrame>,
    calls: Arc<Calls>,
) {
    while let Some(frame) = frames.recv().await {
        let mut chunks: Vec<Bytes> = frame.into_chunks();
        // What was queued meanwhile goes along.
        while chunks.len() < SLICES_MAX
            && let Ok(next) = frames.try_recv()
        {
            chunks.extend(next.into_chunks());
        }
        let written = async {
            write_all(&mut writer, &mut chunks).await?;
            writer.flush().await
        };
        if let Err(error) = written.await {
            calls.lost(error);
            return;
        }
    }
}

async fn write_all(writer: &mut (impl AsyncWrite + Unpin), chunks: &mut [Bytes]) -> io::Result<()> {
    let mut first = 0;
    loop {
        while first < chunks.len() && chunks[first].is_empty() {
            first += 1;
        }
        if first == chunks.len() {
            return Ok(());
        }
        let end = chunks.len().min(first + SLICES_MAX);
        let slices: Vec<IoSlice<'_>> = chunks[first..end]
            .iter()
            .map(|chunk| IoSlice::new(chunk))
            .collect();
        let mut written = writer.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while written > 0 {
            let taken = written.min(chunks[first].len());
            chunks[first].advance(taken);
            written -= taken;
            if chunks[first].is_empty() {
                first += 1;
            }
        }
    }
}

/// Reads frames until the connection ends, and fails all calls then.
pub(super) async fn read(mut reader: impl AsyncRead + Unpin, bytes_max: usize, calls: Arc<Calls>) {
    loop {
        let frame = match read_frame(&mut reader, bytes_max).await {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return calls.lost("closed by the broker");
            }
            Err(error) => return calls.lost(error),
        };
        let Some(id) = frame.first_chunk::<4>() else {
            return calls.lost("an answer is too short for its header");
        };
        let id = i32::from_be_bytes(*id);
        if !calls.answer(id, frame) {
            return calls.lost(format!("an answer to request {id}, which was never asked"));
        }
    }
}

async fn read_frame(reader: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Bytes> {
    let length = reader.read_i32().await?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= bytes_max);
    let length = length.ok_or_else(|| {
        let message = format!("an answer claims a length outside 0 to {bytes_max} bytes");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    let mut frame = BytesMut::with_capacity(length.min(FRAME_BYTES_FIRST));
    let mut rest = reader.take(length as u64);
    while frame.len() < length {
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}
