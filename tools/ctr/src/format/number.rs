//! Numbers as Go writes them: `42`, `0x2a`, `0b1`, `017`, `1_000`, `1e3`, `0x1p-2`, `'x'`.
//!
//! What type a number gets is told by how it is written and by what is wanted: `1e3` is also a whole number.

use super::quote;

/// A number and all it can be taken for.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) text: String,
    pub(super) int: Option<i64>,
    pub(super) uint: Option<u64>,
    pub(super) float: Option<f64>,
}

impl Number {
    /// Whether it is written as a float.
    pub(super) fn is_written_as_float(&self) -> bool {
        let hex =
            self.text.len() > 2 && self.text.to_ascii_lowercase().starts_with("0x") && !self.text.contains(['p', 'P']);
        self.float.is_some() && !hex && !self.text.starts_with('\'') && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut number = Self { text: text.to_owned(), int: None, uint: None, float: None };
        if text.starts_with('\'') {
            if text == "''" {
                return Err("invalid syntax".into());
            }
            let c = quote::char_constant(text).ok_or_else(|| format!("malformed character constant: {text}"))?;
            number.int = Some(i64::from(u32::from(c)));
            number.uint = Some(u64::from(c));
            number.float = Some(f64::from(u32::from(c)));
            return Ok(number);
        }
        let (sign, digits) = match text.as_bytes().first() {
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            _ => (0, text),
        };
        if let Some(whole) = whole(digits) {
            number.uint = u64::try_from(whole).ok().filter(|n| sign == 0 || *n == 0);
            number.int = i64::try_from(if sign < 0 { -whole } else { whole }).ok();
            number.float = number.int.map(|n| n as f64).or(number.uint.map(|n| n as f64));
        } else if let Some(float) = float(digits) {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote::quoted(text)));
            }
            let float = if sign < 0 { -float } else { float };
            number.float = Some(float);
            number.int = Some(float as i64).filter(|n| *n as f64 == float);
            number.uint = Some(float as u64).filter(|n| *n as f64 == float);
        }
        match number.float {
            Some(_) => Ok(number),
            None if whole_too_big(digits) => Err(format!("integer overflow: {}", quote::quoted(text))),
            None => Err(format!("illegal number syntax: {}", quote::quoted(text))),
        }
    }
}

/// Whether each `_` stands between digits, or behind a prefix.
fn separated(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).filter(|&i| bytes[i] == b'_').all(|i| {
        let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
        let prefix = i == 2 && bytes[0] == b'0' && bytes[1].is_ascii_alphabetic();
        i > 0 && (digit(bytes.get(i - 1)) || prefix) && digit(bytes.get(i + 1))
    })
}

fn whole(text: &str) -> Option<i128> {
    if !separated(text) {
        return None;
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    let (radix, digits) = match plain.get(..2) {
        Some("0x") => (16, &plain[2..]),
        Some("0o") => (8, &plain[2..]),
        Some("0b") => (2, &plain[2..]),
        _ if plain.len() > 1 && plain.starts_with('0') => (8, &plain[1..]),
        _ => (10, plain.as_str()),
    };
    let fits = |n: &i128| *n <= i128::from(u64::MAX);
    digits.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| i128::from_str_radix(digits, radix).ok().filter(fits))?
}

fn whole_too_big(text: &str) -> bool {
    text.len() > 18 && text.bytes().all(|b| b.is_ascii_digit())
}

fn float(text: &str) -> Option<f64> {
    if !separated(text) {
        return None;
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    let Some(hex) = plain.strip_prefix("0x") else {
        let valid = plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'));
        return if valid { plain.parse().ok().filter(|f: &f64| f.is_finite()) } else { None };
    };
    let (mantissa, exponent) = hex.split_once('p')?;
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{before}{after}"), 16).ok()?;
    let exponent = exponent.parse::<i32>().ok()? - 4 * i32::try_from(after.len()).ok()?;
    Some(digits as f64 * f64::from(exponent).exp2())
}
