//! The real file system behaves as the trait says, where that is more than one call to the kernel.

#![allow(clippy::unwrap_used)]

use std::io::{self, IoSlice};
use std::path::Path;

use kabuki_storage::{FaultClass, FileSystem, OpenMode, RealFs, classify};

#[test]
fn thousands_of_slices_are_written_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = RealFs.open(&path, OpenMode::CreateNew).unwrap();
    let parts: Vec<[u8; 3]> = (0..5000u32).map(|n| [n as u8, (n >> 8) as u8, 7]).collect();
    let mut slices: Vec<IoSlice<'_>> = vec![IoSlice::new(b""); 3];
    slices.extend(parts.iter().map(|part| IoSlice::new(part)));
    slices.push(IoSlice::new(b""));
    file.write_at(10, &slices).unwrap();
    file.write_at(0, &[]).unwrap();

    let content = RealFs.read_whole(&path, 1 << 20).unwrap();
    assert_eq!(content[..10], [0; 10]);
    assert_eq!(content[10..], parts.concat());
    assert_eq!(file.len().unwrap(), content.len() as u64);
}

#[test]
fn reads_end_where_the_file_ends() {
    let dir = tempfile::tempdir().unwrap();
    let file = RealFs
        .open(&dir.path().join("file"), OpenMode::Create)
        .unwrap();
    file.write_at(0, &[IoSlice::new(b"12345")]).unwrap();
    let mut into = [0; 8];
    assert_eq!(file.read_at(2, &mut into).unwrap(), 3);
    assert_eq!(into[..3], *b"345");
    assert_eq!(file.read_at(5, &mut into).unwrap(), 0);
    // Cached or not is up to the kernel; the answer is right either way.
    match file.read_cached(2, &mut into) {
        Ok(count) => assert_eq!(into[..count], b"345"[..count]),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
    }
}

#[test]
fn reserved_space_does_not_change_the_length() {
    let dir = tempfile::tempdir().unwrap();
    let file = RealFs
        .open(&dir.path().join("file"), OpenMode::Create)
        .unwrap();
    file.allocate(1 << 20).unwrap();
    assert!(file.is_empty().unwrap());
    file.set_len(100).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(file.len().unwrap(), 100);
}

#[test]
fn errors_keep_the_number_of_the_operating_system() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = RealFs.open(&missing, OpenMode::ReadWrite).unwrap_err();
    assert_eq!(classify(&error), FaultClass::Gone);
    assert!(!RealFs.exists(&missing).unwrap());
    let file = RealFs.open(&missing, OpenMode::CreateNew).unwrap();
    let again = RealFs.open(&missing, OpenMode::CreateNew).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    file.write_at(0, &[IoSlice::new(b"123")]).unwrap();
    let too_long = RealFs.read_whole(&missing, 2).unwrap_err();
    assert_eq!(too_long.kind(), io::ErrorKind::InvalidData);
    assert_eq!(RealFs.read_whole(&missing, 3).unwrap(), b"123");
}

#[test]
fn a_listing_is_sorted_and_knows_directories() {
    let dir = tempfile::tempdir().unwrap();
    RealFs.create_dir_all(&dir.path().join("b/c")).unwrap();
    let file = RealFs
        .open(&dir.path().join("a"), OpenMode::Create)
        .unwrap();
    file.write_at(0, &[IoSlice::new(b"123")]).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
    let entries = RealFs.list(dir.path()).unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|it| (it.name.as_str(), it.is_dir, it.bytes))
        .collect();
    assert_eq!(found, [("a", false, 3), ("b", true, 0)]);
    RealFs.sync_dir(dir.path()).unwrap();
    RealFs.remove_dir_all(&dir.path().join("b")).unwrap();
    let space = RealFs.space(Path::new("/")).unwrap();
    assert!(0 < space.usable_bytes && space.usable_bytes <= space.total_bytes);
    assert!(RealFs.modified_ms(&dir.path().join("a")).unwrap() > 1_600_000_000_000);
}
