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

/// How much of a file is whole entries.
pub(super) fn whole(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some((_, length)) = bytes.get(at..).and_then(read) {
        at += length;
    }
    at
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
        assert_eq!(whole(&ours), ours.len());
        assert_eq!(whole(&ours[..ours.len() - 1]), theirs.len(), "half a record is none");
        let (partial, _) = read(&ours[theirs.len()..]).unwrap();
        assert_eq!(partial.unwrap().log, "part");
        assert!(read(b"\xff\xff\xff\xff....").is_none());
    }
}
