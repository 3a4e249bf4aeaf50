//! A domain name as it stands on the wire: labels, each behind its length, the empty one last (RFC 1035, 3.1). Kept in
//! lower case, since names are compared without regard to it (RFC 4343); so two names are the same when their bytes are,
//! also where a label holds a dot or a NUL.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most bytes a name has, its last empty label included.
const MOST_BYTES: usize = 255;
/// The most bytes a label has.
const MOST_LABEL: usize = 63;

/// A name, in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    wire: Vec<u8>,
}

impl Name {
    /// Reads `text` (`db`, `db.example.org`, with or without a dot at its end). `None` where it is no name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            if label.is_empty() || label.len() > MOST_LABEL {
                return None;
            }
            wire.push(label.len() as u8);
            wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= MOST_BYTES).then_some(Self { wire })
    }

    /// Reads the name that begins at `at` in `message`, and where it ends. A compressed one is none: only the first name of
    /// a message is read here, and there is nothing before it that it could point to.
    pub(crate) fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut end = at;
        loop {
            let length = usize::from(*message.get(end)?);
            if length > MOST_LABEL {
                return None;
            }
            end += 1 + length;
            if end - at > MOST_BYTES {
                return None;
            }
            if length == 0 {
                break;
            }
        }
        let wire = message.get(at..end)?.to_ascii_lowercase();
        Some((Self { wire }, end))
    }

    /// As it stands on the wire.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Its labels, without the empty one.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.wire[..];
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first()?;
            let (label, tail) = tail.split_at_checked(usize::from(*length))?;
            rest = tail;
            (!label.is_empty()).then_some(label)
        })
    }

    /// What is left of it in front of `suffix`, if it ends in that and something is left.
    pub(crate) fn below(&self, suffix: &Self) -> Option<Self> {
        let cut = self.wire.len().checked_sub(suffix.wire.len())?;
        let at_label = self.borders().any(|border| border == cut);
        if cut == 0 || !at_label || self.wire.get(cut..)? != suffix.wire {
            return None;
        }
        let mut wire = self.wire.get(..cut)?.to_vec();
        wire.push(0);
        Some(Self { wire })
    }

    /// Itself with `suffix` behind it; `None` where that is too long.
    pub(crate) fn with(&self, suffix: &Self) -> Option<Self> {
        let mut wire = self.wire.get(..self.wire.len() - 1)?.to_vec();
        wire.extend_from_slice(&suffix.wire);
        (wire.len() <= MOST_BYTES).then_some(Self { wire })
    }

    /// Where its labels begin.
    fn borders(&self) -> impl Iterator<Item = usize> {
        let mut at = 0;
        self.labels().map(move |label| {
            let border = at;
            at += 1 + label.len();
            border
        })
    }

    /// The address that a name below `in-addr.arpa` or `ip6.arpa` means, where it means a whole one.
    pub(crate) fn reversed(&self) -> Option<IpAddr> {
        let labels: Vec<&[u8]> = self.labels().collect();
        let (top, digits) = labels.split_last_chunk::<2>().map(|(digits, top)| (top, digits))?;
        if top[1] != b"arpa" {
            return None;
        }
        if top[0] == b"in-addr" && digits.len() == 4 {
            let mut bytes = [0; 4];
            for (byte, digit) in bytes.iter_mut().zip(digits.iter().rev()) {
                // `01` and `+1` are other names.
                let text = std::str::from_utf8(digit).ok()?;
                *byte = text.parse().ok().filter(|n: &u8| n.to_string() == text)?;
            }
            return Some(Ipv4Addr::from(bytes).into());
        }
        if top[0] == b"ip6" && digits.len() == 32 {
            let mut all = 0_u128;
            for digit in digits.iter().rev() {
                let [digit] = digit else { return None };
                all = all << 4 | u128::from((*digit as char).to_digit(16)?);
            }
            return Some(Ipv6Addr::from(all).into());
        }
        None
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, label) in self.labels().enumerate() {
            let dot = if n == 0 { "" } else { "." };
            write!(f, "{dot}{}", label.escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn text_and_wire() {
        assert_eq!(name("Db.Example").wire(), b"\x02db\x07example\0");
        assert_eq!(name("db.").to_string(), "db");
        let long = vec!["x".repeat(63); 4].join(".");
        for wrong in ["", ".", "a..b", ".a", &"x".repeat(64), &long] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
        assert!(Name::parse(&["x".repeat(63), "x".repeat(63), "x".repeat(63), "x".repeat(61)].join(".")).is_some());
    }

    #[test]
    fn what_is_read_is_bounded() {
        assert_eq!(Name::read(b"..\x02dB\0", 2), Some((name("db"), 6)));
        for wrong in [&b""[..], b"\x02d", b"\x02db", b"\xc0\x00", b"\x40", b"\x02db\xc0\x00", &[1; 300]] {
            assert_eq!(Name::read(wrong, 0), None, "{wrong:?}");
        }
        assert_eq!(Name::read(b"\0", 7), None);
    }

    #[test]
    fn domains_end_at_labels() {
        assert_eq!(name("db.web").below(&name("web")), Some(name("db")));
        assert_eq!(name("a.b.x.y").below(&name("x.y")), Some(name("a.b")));
        for (long, short) in [("dbweb", "web"), ("web", "web"), ("web", "a.web"), ("db.web", "db")] {
            assert_eq!(name(long).below(&name(short)), None, "{long} {short}");
        }
        // A label that holds what looks like a length and a label.
        let (odd, _) = Name::read(b"\x06ab\x03web\0", 0).unwrap();
        assert_eq!(odd.below(&name("web")), None);
        assert_eq!(name("db").with(&name("web")), Some(name("db.web")));
    }

    #[test]
    fn reverse_names() {
        let reversed = |text: &str| name(text).reversed().map(|a| a.to_string());
        assert_eq!(reversed("2.0.9.10.in-addr.arpa").as_deref(), Some("10.9.0.2"));
        let six = format!("2.{}d.f.ip6.arpa", "0.".repeat(29));
        assert_eq!(reversed(&six).as_deref(), Some("fd00::2"));
        for other in ["0.9.10.in-addr.arpa", "02.0.9.10.in-addr.arpa", "256.0.9.10.in-addr.arpa", "arpa", "a.b", "db"] {
            assert_eq!(reversed(other), None, "{other}");
        }
    }
}
