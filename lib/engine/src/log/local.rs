//! The local driver's entries, in docker's form (moby, `api/types/plugins/logdriver/entry.proto` and `daemon/logger/local`).
//!
//! ```text
//! ┌───────────┬───────────────────────────────────────────────────────────────────┬───────────┐
//! │ length BE │ protobuf: 1 source, 2 time in ns, 3 line, 4 partial, 5 {2 id, 3 n} │ length BE │
//! └───────────┴───────────────────────────────────────────────────────────────────┴───────────┘
//! ```
//!
//! A whole line is stored without its newline; `partial` says that it had none.

use super::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Longest record that is taken, in bytes. Ours are far shorter.
const LIMIT_BYTES: usize = 1 << 20;

/// Writes one entry.
pub(super) fn write(out: &mut Vec<u8>, stream: &str, line: &[u8], time: jiff::Timestamp) {
    let (line, partial) = match line.strip_suffix(b"\n") {
        Some(whole) => (whole, false),
        None => (line, true),
    };
    let mut message = Vec::with_capacity(line.len() + 32);
    field(&mut message, 1, stream.as_bytes());
    message.push(2 << 3);
    varint(&mut message, time.as_nanosecond() as u64);
    field(&mut message, 3, line);
    if partial {
        message.extend_from_slice(&[4 << 3, 1]);
    }
    let length = (message.len() as u32).to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&message);
    out.extend_from_slice(&length);
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How much of `bytes` is whole entries, and how many those are.
fn whole(bytes: &[u8]) -> (usize, usize) {
    let (mut at, mut count) = (0, 0);
    while let Some((_, length)) = bytes.get(at..).and_then(read) {
        at += length;
        count += 1;
    }
    (at, count)
}

/// Where the whole entries of `file` end: a writer that was killed may have left half a record.
pub(super) fn end(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    match length == 0 || before(file, length)?.is_some() {
        true => Ok(length),
        false => Ok(whole(&all(file)?).0 as u64),
    }
}

/// Where the last `wanted` entries of `file` begin, and how many those are: fewer where it has no more.
pub(super) fn last(file: &File, wanted: usize) -> io::Result<(u64, usize)> {
    let mut at = end(file)?;
    let mut found = 0;
    while at > 0 && found < wanted {
        match before(file, at)? {
            Some(begin) => at = begin,
            // Something else is in it: then it is read from its beginning.
            None => return Ok((0, whole(&all(file)?).1)),
        }
        found += 1;
    }
    Ok((at, found))
}

/// Where the record begins that ends at `end`; none where none does.
fn before(file: &File, end: u64) -> io::Result<Option<u64>> {
    let mut foot = [0; 4];
    let Some(at) = end.checked_sub(4) else { return Ok(None) };
    file.read_exact_at(&mut foot, at)?;
    let length = u32::from_be_bytes(foot) as usize;
    let Some(begin) = end.checked_sub(length as u64 + 8).filter(|_| length <= LIMIT_BYTES) else { return Ok(None) };
    let mut record = vec![0; length + 8];
    file.read_exact_at(&mut record, begin)?;
    Ok(read(&record).filter(|(entry, whole)| entry.is_some() && *whole == record.len()).map(|_| begin))
}

fn all(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The first entry of `bytes` and where the next begins; none while its end is not there.
pub(super) fn read(bytes: &[u8]) -> Option<(Option<Entry>, usize)> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*head) as usize;
    if length > LIMIT_BYTES {
        return None;
    }
    let message = rest.get(..length)?;
    let end = rest.get(length..length + 4)?;
    Some((parse(message).filter(|_| end == head), length + 8))
}

fn parse(mut message: &[u8]) -> Option<Entry> {
    let mut entry = Entry::default();
    let mut partial = false;
    while let Some((tag, rest)) = take_varint(message) {
        message = rest;
        match tag & 7 {
            0 => {
                let (number, rest) = take_varint(message)?;
                message = rest;
                match tag >> 3 {
                    2 => entry.time = jiff::Timestamp::from_nanosecond(i128::from(number as i64)).ok()?.to_string(),
                    4 => partial = number != 0,
                    _ => {}
                }
            }
            2 => {
                let (length, rest) = take_varint(message)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                message = rest;
                match tag >> 3 {
                    1 => entry.stream = String::from_utf8_lossy(bytes).into_owned(),
                    3 => entry.log = String::from_utf8_lossy(bytes).into_owned(),
                    _ => {}
                }
            }
            _ => return None,
        }
    }
    if !partial {
        entry.log.push('\n');
    }
    Some(entry)
}

fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_dockers() {
        // what dockerd 20.10 wrote for `echo err >&2` and for `printf part`
        let theirs = b"\0\0\0\x17\x0a\x06stderr\x10\x8e\x86\x8d\xd8\xba\xe4\x8d\xf5\x18\x1a\x03err\0\0\0\x17";
        let (entry, length) = read(theirs).unwrap();
        let entry = entry.unwrap();
        assert_eq!((entry.stream.as_str(), entry.log.as_str(), length), ("stderr", "err\n", theirs.len()));
        let mut ours = Vec::new();
        write(&mut ours, "stderr", b"err\n", entry.time.parse().unwrap());
        assert_eq!(ours, theirs);
        write(&mut ours, "stdout", b"part", entry.time.parse().unwrap());
        assert_eq!(whole(&ours), (ours.len(), 2));
        assert_eq!(whole(&ours[..ours.len() - 1]), (theirs.len(), 1), "half a record is none");
        let (partial, _) = read(&ours[theirs.len()..]).unwrap();
        assert_eq!(partial.unwrap().log, "part");
        assert!(read(b"\xff\xff\xff\xff....").is_none());
    }

    #[test]
    fn the_last_of_a_file_are_found_from_behind() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let (mut bytes, mut begins) = (Vec::new(), Vec::new());
        for text in ["one\n", "two\n", "three\n"] {
            begins.push(bytes.len() as u64);
            write(&mut bytes, "stdout", text.as_bytes(), jiff::Timestamp::UNIX_EPOCH);
        }
        let length = bytes.len() as u64;
        let found = |bytes: &[u8], wanted: usize| {
            std::fs::write(&path, bytes).unwrap();
            let file = File::open(&path).unwrap();
            (end(&file).unwrap(), last(&file, wanted).unwrap())
        };
        assert_eq!(found(&bytes, 2), (length, (begins[1], 2)));
        assert_eq!(found(&bytes, 9), (length, (0, 3)));
        assert_eq!(found(&bytes, 0), (length, (length, 0)));
        assert_eq!(found(&bytes[..bytes.len() - 2], 1), (begins[2], (begins[1], 1)), "half a record is none");
        // what was damaged in the middle is passed over by who reads on from the beginning
        bytes[begins[1] as usize + 4] ^= 0xff;
        assert_eq!(found(&bytes, 2), (length, (0, 3)));
        assert_eq!(found(&[], 1), (0, (0, 0)));
    }
}
