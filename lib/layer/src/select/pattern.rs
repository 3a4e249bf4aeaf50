//! One pattern: fnmatch(3) as GNU tar calls it, with FNM_LEADING_DIR and without FNM_PATHNAME and FNM_PERIOD.
//!
//! `*` any text, `?` one character, `[a-z]` and `[!a-z]` one of a set (with POSIX classes as `[[:digit:]]`), `\` before a
//! character that means itself. A character is one of UTF-8 where the bytes are that, else one byte.

/// A pattern, and where in a path it may begin.
#[derive(Debug)]
pub(super) struct Pattern {
    written: Vec<u8>,
    /// Without the marks of the root before it and slashes behind it.
    text: Vec<u8>,
    /// It holds from the root on only.
    anchored: bool,
}

impl Pattern {
    /// One that holds for whole paths.
    pub(super) fn at_root(written: &[u8]) -> Self {
        Self { anchored: true, ..Self::anywhere(written) }
    }

    /// One that may begin behind any slash, unless it begins with one itself.
    pub(super) fn anywhere(written: &[u8]) -> Self {
        let mut text = written;
        while let Some(shorter) = text.strip_suffix(b"/") {
            text = shorter;
        }
        let mut anchored = false;
        while let Some(rest) = text.strip_prefix(b"/").or_else(|| text.strip_prefix(b"./")) {
            (text, anchored) = (rest, true);
        }
        if text == b"." {
            (text, anchored) = (b"", true);
        }
        Self { written: written.to_vec(), text: text.to_vec(), anchored: anchored || text.is_empty() }
    }

    /// As it was given.
    pub(super) fn as_written(&self) -> &[u8] {
        &self.written
    }

    /// Whether it holds for `path` or a directory above it.
    pub(super) fn fits(&self, path: &[u8]) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let starts = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at + 1);
        matches(&self.text, path) || (!self.anchored && starts.into_iter().any(|at| matches(&self.text, &path[at..])))
    }
}

/// Whether `pattern` is the whole of `text`, or what stands before one of its slashes.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and how far it reaches by now. That the first fit of what stands between two stars is as good as
    // any later one makes one place to go back to enough.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p == pattern.len() {
            if t == text.len() || text[t] == b'/' {
                return true;
            }
        } else if pattern[p] == b'*' {
            star = Some((p + 1, t));
            p += 1;
            continue;
        } else if t < text.len() {
            let (fits, next) = one(pattern, p, &text[t..]);
            if fits {
                t += char_len(&text[t..]);
                p = next;
                continue;
            }
        }
        match &mut star {
            Some((behind, reach)) if *reach < text.len() => {
                *reach += char_len(&text[*reach..]);
                (p, t) = (*behind, *reach);
            }
            _ => return false,
        }
    }
}

/// Whether what stands at `p` of the pattern, no star, is the first character of `text`; and what follows it in the pattern.
fn one(pattern: &[u8], p: usize, text: &[u8]) -> (bool, usize) {
    let c = &text[..char_len(text)];
    match pattern[p] {
        b'?' => (true, p + 1),
        b'[' => match set(&pattern[p + 1..], c) {
            Some((fits, length)) => (fits, p + 1 + length),
            None => (c == b"[", p + 1),
        },
        b'\\' if p + 1 < pattern.len() => literal(&pattern[p + 1..], c, p + 1),
        _ => literal(&pattern[p..], c, p),
    }
}

fn literal(pattern: &[u8], c: &[u8], p: usize) -> (bool, usize) {
    let length = char_len(pattern);
    (&pattern[..length] == c, p + length)
}

/// A set whose `[` stands before `pattern`: whether `c` is in it, and its length with the `]`. `None` if it has no end.
fn set(pattern: &[u8], c: &[u8]) -> Option<(bool, usize)> {
    let value = code(c);
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let (mut found, mut first) = (false, true);
    loop {
        match *pattern.get(at)? {
            b']' if !first => return Some((found != negated, at + 1)),
            b'[' if pattern.get(at + 1) == Some(&b':') && class_end(&pattern[at + 2..]).is_some() => {
                let length = class_end(&pattern[at + 2..])?;
                found |= in_class(&pattern[at + 2..at + 2 + length], value);
                at += 2 + length + 2;
            }
            _ => {
                let (low, next) = member(pattern, at)?;
                at = next;
                let mut high = low;
                if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|b| *b != b']') {
                    (high, at) = member(pattern, at + 1)?;
                }
                found |= (low..=high).contains(&value);
            }
        }
        first = false;
    }
}

/// A character in a set, perhaps behind a backslash, and what follows it.
fn member(pattern: &[u8], mut at: usize) -> Option<(u32, usize)> {
    if pattern.get(at)? == &b'\\' && at + 1 < pattern.len() {
        at += 1;
    }
    let length = char_len(&pattern[at..]);
    Some((code(&pattern[at..at + length]), at + length))
}

/// The length of a class's name that ends in `:]`.
fn class_end(pattern: &[u8]) -> Option<usize> {
    let length = pattern.iter().take_while(|b| b.is_ascii_lowercase()).count();
    pattern[length..].starts_with(b":]").then_some(length)
}

fn in_class(name: &[u8], value: u32) -> bool {
    let Some(c) = char::from_u32(value) else { return false };
    match name {
        b"alpha" => c.is_alphabetic(),
        b"alnum" => c.is_alphanumeric(),
        b"digit" => c.is_ascii_digit(),
        b"xdigit" => c.is_ascii_hexdigit(),
        b"lower" => c.is_lowercase(),
        b"upper" => c.is_uppercase(),
        b"space" => c.is_whitespace(),
        b"blank" => c == ' ' || c == '\t',
        b"cntrl" => c.is_control(),
        b"punct" => c.is_ascii_punctuation(),
        b"graph" => !c.is_control() && !c.is_whitespace(),
        b"print" => !c.is_control(),
        _ => false,
    }
}

/// How many bytes the first character has; `text` is not empty.
fn char_len(text: &[u8]) -> usize {
    let length = match text[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return 1,
    };
    match text.get(..length) {
        Some(bytes) if std::str::from_utf8(bytes).is_ok() => length,
        _ => 1,
    }
}

/// A number for each character: its code point, and above those the bytes that are none.
fn code(c: &[u8]) -> u32 {
    match std::str::from_utf8(c).ok().and_then(|text| text.chars().next()) {
        Some(c) => u32::from(c),
        None => 0x11_0000 + u32::from(c.first().copied().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn fits_what_fnmatch_fits() {
        for (pattern, text, fits) in [
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("*a", "a/b/a", true),
            ("*a", "a/b", true),
            ("*", "", true),
            ("?", "ü", true),
            ("??", "ü", false),
            ("[ä-ü]", "ö", true),
            ("[]a]", "]", true),
            ("[!]a]", "b", true),
            ("[^a]", "a", false),
            ("[a-]", "-", true),
            ("[", "[", true),
            ("[ab", "[ab", true),
            ("[\\]]", "]", true),
            ("[[:digit:][:upper:]]x", "Qx", true),
            ("[[:digit:]]", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
            ("a?c", "a/c", true),
            ("ab", "ab/c", true),
            ("ab", "abc", false),
            ("*.so*", "lib.so.1/x", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
        assert!(matches(b"?\xff", b"\xfe\xff") && !matches(b"?", b"\xfe\xff"));
        // Many stars cost no more than pattern times text.
        assert!(!matches(&b"*a".repeat(200), &b"a".repeat(199)));
    }
}
