//! Zigzag variable-length integers, as records use them (Protocol Buffers' sint32 and sint64).

/// Most bytes of a 32-bit varint.
pub(crate) const VARINT_BYTES_MAX: u32 = 5;
/// Most bytes of a 64-bit varint.
pub(crate) const VARLONG_BYTES_MAX: u32 = 10;

/// Undoes the zigzag fold of a 32-bit number.
pub(crate) const fn unfold(folded: u32) -> i32 {
    (folded >> 1) as i32 ^ -((folded & 1) as i32)
}

/// Undoes the zigzag fold of a 64-bit number.
pub(crate) const fn unfold_long(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

/// Folds the sign into the lowest bit, so that small negative numbers stay short.
const fn fold_long(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends `value` in 1 to 10 bytes; a value in the range of i32 takes at most 5.
pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut folded = fold_long(value);
    while folded >= 0x80 {
        out.push(folded as u8 | 0x80);
        folded >>= 7;
    }
    out.push(folded as u8);
}

/// Appends `value` in 1 to 5 bytes. The 64-bit fold of a 32-bit number is the same number.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_varlong(out, i64::from(value));
}

/// Bytes that [`put_varlong`] appends.
pub(crate) const fn varlong_bytes(value: i64) -> usize {
    let bits = 64 - (fold_long(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_have_their_known_bytes() {
        let table: [(i64, &[u8]); 8] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in table {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(varlong_bytes(value), bytes.len(), "{value}");
        }
    }

    #[test]
    fn folding_is_undone_at_the_limits() {
        for value in [i64::MIN, i64::MAX, 0, -1, 1] {
            assert_eq!(unfold_long(fold_long(value)), value);
        }
        for value in [i32::MIN, i32::MAX, 0, -1, 1] {
            assert_eq!(unfold(fold_long(i64::from(value)) as u32), value);
        }
    }
}
