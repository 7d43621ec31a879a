//! The byte stream of a connection: cut into frames as the session cuts it, each frame's header read.

#![no_main]

#[allow(dead_code)]
#[path = "../../../session/src/state/frames.rs"]
mod frames;
#[path = "../../../session/src/state/receive_pool.rs"]
mod receive_pool;

use bytes::Bytes;
use frames::FrameBuffer;
use kabuki_protocol::codec::Decoder;
use kabuki_protocol::header::RequestHeader;
use libfuzzer_sys::fuzz_target;
use receive_pool::ReceivePool;

/// `socket.request.max.bytes` of the two connections; the second is met by a few mutated bytes.
const FRAME_BYTES_MAX: [usize; 2] = [100 << 20, 600];

/// Room a buffer may make ahead of the bytes that come: one announced frame of usual size.
const ROOM_BYTES_MAX: usize = 2 * (1024 + 64) * 1024;

fuzz_target!(|input: &[u8]| {
    // The first bytes say how the stream falls into reads: together, byte by byte, or in between.
    let Some((steps, stream)) = input.split_at_checked(2) else {
        return;
    };
    let bytes_max = FRAME_BYTES_MAX[usize::from(steps[0] & 1)];
    let step = 1 + usize::from(steps[0] >> 1) + usize::from(steps[1]) * 16;
    let (cut, is_refused) = cut_by_hand(stream, bytes_max);

    let mut pool = ReceivePool::default();
    let mut buffer = FrameBuffer::new(bytes_max);
    let mut seen = Vec::new();
    let mut refused = false;
    'reads: for piece in stream.chunks(step) {
        let mut rest = piece;
        while !rest.is_empty() {
            let room = buffer.room(&mut pool);
            let free = room.capacity() - room.len();
            assert!(free > 0, "a buffer without room never gets its frame");
            assert!(room.capacity() <= 2 * room.len() + ROOM_BYTES_MAX);
            let (now, later) = rest.split_at(free.min(rest.len()));
            room.extend_from_slice(now);
            rest = later;
        }
        loop {
            match buffer.next_frame() {
                // A frame that is held keeps its buffer from being used again; one that is let go does not.
                Ok(Some(frame)) if steps[1] & 2 == 0 => seen.push(frame),
                Ok(Some(frame)) => seen.push(Bytes::copy_from_slice(&frame)),
                Ok(None) => {
                    // As a session does between two reads, now and then.
                    if steps[1] & 1 == 0 {
                        buffer.rest(steps[1] & 4 == 0, &mut pool);
                    }
                    break;
                }
                Err(_) => {
                    refused = true;
                    break 'reads;
                }
            }
        }
    }
    assert_eq!(seen, cut);
    assert_eq!(refused, is_refused);
    for frame in seen {
        let mut decoder = Decoder::new(frame);
        let _ = RequestHeader::decode(&mut decoder);
    }
});

/// What the stream holds, found without a buffer.
fn cut_by_hand(mut stream: &[u8], bytes_max: usize) -> (Vec<Bytes>, bool) {
    let mut cut = Vec::new();
    while let Some((size, rest)) = stream.split_first_chunk::<4>() {
        let Some(size) = usize::try_from(i32::from_be_bytes(*size))
            .ok()
            .filter(|size| *size <= bytes_max)
        else {
            return (cut, true);
        };
        let Some((frame, rest)) = rest.split_at_checked(size) else {
            break;
        };
        cut.push(Bytes::copy_from_slice(frame));
        stream = rest;
    }
    (cut, false)
}
