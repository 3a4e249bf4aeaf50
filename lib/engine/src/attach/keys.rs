//! The keys that leave a container running: docker's grammar, its default, and how they are found in what is typed.
//!
//! A sequence is keys with commas between them: one character, `ctrl-` and one of `@a-z[\]^_`, or `DEL`. What has begun like the
//! sequence is held back until it is clear that it is another; then it is passed on whole. As in docker, what broke a sequence off
//! does not begin it again.

use crate::{Error, Kind, Result};

/// A detach sequence, and how much of it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    sequence: Vec<u8>,
    matched: usize,
}

impl Default for Keys {
    /// Ctrl-P Ctrl-Q.
    fn default() -> Self {
        Self { sequence: vec![0x10, 0x11], matched: 0 }
    }
}

impl Keys {
    /// Reads a sequence; an empty one is the default, as in docker.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let sequence: Option<Vec<u8>> = text.split(',').map(key).collect();
        let sequence = sequence.ok_or_else(|| {
            Error::new(Kind::Request, "", format!("Invalid detach keys ({text}) provided"))
                .hint("keys with commas between them: a character, ctrl-a to ctrl-z, ctrl-@ ctrl-[ ctrl-\\ ctrl-] ctrl-^ ctrl-_, DEL")
        })?;
        Ok(Self { sequence, matched: 0 })
    }

    /// What the command line says, else what is `configured`, else the default.
    pub fn choose(option: Option<&str>, configured: Option<&str>) -> Result<Self> {
        match option.filter(|text| !text.is_empty()) {
            Some(text) => Self::parse(text),
            None => Self::parse(configured.unwrap_or_default()),
        }
    }

    /// What of `bytes` is passed on, and whether the sequence is complete: what stands behind it is lost with it.
    pub fn filter(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(bytes.len() + self.matched);
        for byte in bytes {
            if self.sequence.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.sequence.len() {
                    self.matched = 0;
                    return (pass, true);
                }
                continue;
            }
            pass.extend_from_slice(&self.sequence[..self.matched]);
            self.matched = 0;
            pass.push(*byte);
        }
        (pass, false)
    }
}

/// One key's byte.
fn key(text: &str) -> Option<u8> {
    match (text.as_bytes(), text.strip_prefix("ctrl-").map(str::as_bytes)) {
        ([byte], _) => Some(*byte),
        (b"DEL", _) => Some(0x7f),
        (_, Some([c @ b'a'..=b'z'])) => Some(c - b'a' + 1),
        (_, Some(b"@")) => Some(0),
        (_, Some([c @ b'['..=b'_'])) => Some(c - b'@'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_leave_and_a_broken_sequence_passes_whole() {
        let mut keys = Keys::default();
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"p"), (b"\x10p".to_vec(), false));
        assert_eq!(keys.filter(b"x\x10"), (b"x".to_vec(), false));
        assert_eq!(keys.filter(b"\x11y"), (Vec::new(), true));
        // what broke it off does not begin it again
        assert_eq!(keys.filter(b"\x10\x10\x11"), (b"\x10\x10\x11".to_vec(), false));
    }

    #[test]
    fn longer_sequences_of_any_key() {
        let mut keys = Keys::parse("ctrl-a,x,DEL").unwrap();
        assert_eq!(keys.filter(b"\x01x"), (Vec::new(), false));
        assert_eq!(keys.filter(b"y\x01x\x7f"), (b"\x01xy".to_vec(), true));
        assert_eq!(Keys::parse("").unwrap(), Keys::default());
        let bytes = |text: &str| Keys::parse(text).map(|k| k.sequence);
        assert_eq!(bytes("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_").unwrap(), [0, 27, 28, 29, 30, 31]);
        assert_eq!(bytes("q").unwrap(), b"q");
        for wrong in ["foo", "ctrl-", "ctrl-A", "ctrl-1", "a,,b", "a,", "\u{e9}"] {
            let said = Keys::parse(wrong).unwrap_err().to_string();
            assert_eq!(said, format!("Invalid detach keys ({wrong}) provided"));
        }
    }
}
