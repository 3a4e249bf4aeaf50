//! What the crate `tar` and we both read, we read alike. What either refuses is no matter here.
#![no_main]

use layer::archive::fuzzed;
use libfuzzer_sys::fuzz_target;

fn theirs(bytes: &[u8]) -> Option<Vec<(Vec<u8>, u64)>> {
    let mut all = Vec::new();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        let header = entry.header();
        let kind = header.entry_type();
        // Read by one of us only: maps of holes in PAX, global headers and labels as entries; sizes of what has no data.
        if kind.is_gnu_sparse()
            || kind.is_pax_global_extensions()
            || !(kind.is_file() || kind.is_dir() || kind.is_symlink())
        {
            return None;
        }
        if !kind.is_file() && entry.size() > 0 {
            return None;
        }
        // It reads a prefix only where the version is the standard's; GNU tar, bsdtar and Go do so after any.
        if header.as_ustar().is_none() && header.as_bytes()[257..].starts_with(b"ustar\0") {
            return None;
        }
        let path = entry.path_bytes().into_owned();
        // It cuts GNU's long names at their last NUL only; all others at the first.
        if path.contains(&0) {
            return None;
        }
        all.push((path, entry.size()));
    }
    Some(all)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(ours) = fuzzed::plain_entries(bytes) else { return };
    // It ends a PAX record at its first newline, whatever length the record gives; all others go by the length.
    if ours.iter().any(|(path, _)| path.contains(&b'\n')) {
        return;
    }
    let Some(theirs) = theirs(bytes) else { return };
    assert_eq!(ours, theirs);
});
