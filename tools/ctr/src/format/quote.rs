//! Texts as Go quotes and unquotes them, and as `html`, `js` and `urlquery` escape them.

use std::fmt::Write;

/// Whether a character shows on paper.
fn is_print(c: char) -> bool {
    c == ' ' || (!c.is_control() && !c.is_whitespace() && !('\u{e000}'..='\u{f8ff}').contains(&c) && c != '\u{feff}')
}

/// Go's `%q` of a text.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        escape(c, '"', &mut out);
    }
    out + "\""
}

/// Go's `%+q`: what is not ASCII is escaped.
pub(super) fn quoted_ascii(text: &str) -> String {
    let escaped = |c: char| match u32::from(c) {
        0..=0x7f => c.to_string(),
        n @ 0x80..=0xffff => format!("\\u{n:04x}"),
        n => format!("\\U{n:08x}"),
    };
    quoted(text).chars().map(escaped).collect()
}

/// Go's `%q` of a character.
pub(super) fn quoted_char(c: char) -> String {
    let mut out = String::from("'");
    escape(c, '\'', &mut out);
    out + "'"
}

fn escape(c: char, quote: char, out: &mut String) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == quote => out.extend(['\\', c]),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if is_print(c) => out.push(c),
        c => {
            let n = u32::from(c);
            let _ = match n {
                0..=0x1f | 0x7f => write!(out, "\\x{n:02x}"),
                0x80..=0xffff => write!(out, "\\u{n:04x}"),
                _ => write!(out, "\\U{n:08x}"),
            };
        }
    }
}

/// Go's `%#U`: `U+0021 '!'`.
pub(super) fn code_point(c: char) -> String {
    let shown = if is_print(c) { format!(" '{c}'") } else { String::new() };
    format!("U+{:04X}{shown}", u32::from(c))
}

/// The text that a quoted or raw token stands for.
pub(super) fn unquoted(token: &str) -> Option<String> {
    if let Some(raw) = token.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let unit;
        (unit, rest) = unescape(rest, '"')?;
        match unit {
            Unit::Byte(b) => bytes.push(b),
            Unit::Char(c) => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The character that `'x'` stands for.
pub(super) fn char_constant(token: &str) -> Option<char> {
    let inner = token.strip_prefix('\'')?.strip_suffix('\'')?;
    match unescape(inner, '\'')? {
        (Unit::Char(c), "") => Some(c),
        (Unit::Byte(b), "") => Some(char::from(b)),
        _ => None,
    }
}

enum Unit {
    Byte(u8),
    Char(char),
}

fn unescape(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    match chars.next()? {
        '\\' => {}
        c if c == quote => return None,
        c => return Some((Unit::Char(c), chars.as_str())),
    }
    let c = chars.next()?;
    let rest = chars.as_str();
    let hex = |count: usize| {
        let digits = rest.get(..count).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        Some((u32::from_str_radix(digits, 16).ok()?, &rest[count..]))
    };
    let plain = |c: char| Some((Unit::Char(c), rest));
    match c {
        'a' => plain('\u{7}'),
        'b' => plain('\u{8}'),
        'f' => plain('\u{c}'),
        'n' => plain('\n'),
        'r' => plain('\r'),
        't' => plain('\t'),
        'v' => plain('\u{b}'),
        '\\' => plain('\\'),
        c if c == quote => plain(c),
        'x' => hex(2).and_then(|(n, rest)| Some((Unit::Byte(u8::try_from(n).ok()?), rest))),
        'u' => hex(4).and_then(|(n, rest)| Some((Unit::Char(char::from_u32(n)?), rest))),
        'U' => hex(8).and_then(|(n, rest)| Some((Unit::Char(char::from_u32(n)?), rest))),
        '0'..='7' => {
            let from = text.get(1..4)?;
            Some((Unit::Byte(u8::from_str_radix(from, 8).ok()?), text.get(4..)?))
        }
        _ => None,
    }
}

/// `html`.
pub(super) fn html(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// `js`.
pub(super) fn js(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => drop(write!(out, "\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || is_print(c) => out.push(c),
            c => drop(write!(out, "\\u{:04X}", u32::from(c))),
        }
    }
    out
}

/// `urlquery`.
pub(crate) fn url(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            b' ' => out.push('+'),
            b => drop(write!(out, "%{b:02X}")),
        }
    }
    out
}
