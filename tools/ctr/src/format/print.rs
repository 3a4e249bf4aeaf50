//! How Go prints values: `%v` of everything, and `printf` with its verbs, flags, widths and complaints.
//!
//! A pointer inside something prints as an address in Go; here as `0xc000000000`, since ours have none.

use super::quote;
use super::value::Value;
use std::fmt::Write;

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    /// `%+v` and `%#v`: they name fields and types, and mean nothing else to what is inside.
    names_fields: bool,
    names_types: bool,
}

/// Go's `%v`.
pub(super) fn plain(value: &Value) -> String {
    let mut out = String::new();
    verb(value, 'v', Flags::default(), 0, &mut out);
    out
}

/// Go's `%s`.
pub(super) fn as_text(value: &Value) -> String {
    let mut out = String::new();
    verb(value, 's', Flags::default(), 0, &mut out);
    out
}

/// As an action prints it: pointers are followed, no value is `<no value>`.
pub(super) fn action(value: &Value) -> String {
    match value {
        Value::Invalid | Value::Any(None) => "<no value>".into(),
        Value::Any(Some(inner)) => action(inner),
        Value::Pointer(_, Some(inner)) => plain(inner),
        other => plain(other),
    }
}

fn is_text(value: &Value) -> bool {
    match value {
        Value::Any(Some(inner)) => is_text(inner),
        Value::Text(_) | Value::Number(_) => true,
        _ => false,
    }
}

/// Go's `fmt.Sprint`: blanks between operands of which neither is a text.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 && !is_text(value) && !is_text(&values[i - 1]) {
            out.push(' ');
        }
        out.push_str(&plain(value));
    }
    out
}

/// Go's `fmt.Sprintln`.
pub(super) fn println(values: &[Value]) -> String {
    let mut out = values.iter().map(plain).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

/// Go's `fmt.Sprintf`.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let (mut at, mut reordered) = (0, false);
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = Flags::default();
        while let Some(&c) = chars.peek() {
            match c {
                '#' => flags.sharp = true,
                '0' => flags.zero = true,
                '+' => flags.plus = true,
                '-' => flags.minus = true,
                ' ' => flags.space = true,
                _ => break,
            }
            chars.next();
        }
        let mut good = index(&mut chars, &mut at, &mut reordered, values.len());
        let mut after_index = good == Some(true);
        if chars.next_if_eq(&'*').is_some() {
            match values.get(at).and_then(small) {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
            at += 1;
            after_index = false;
        } else {
            flags.width = digits(&mut chars);
            if after_index && flags.width.is_some() {
                good = None;
            }
        }
        if chars.next_if_eq(&'.').is_some() {
            if after_index {
                good = None;
            }
            let more = index(&mut chars, &mut at, &mut reordered, values.len());
            good = good.and(more);
            after_index = more == Some(true);
            if chars.next_if_eq(&'*').is_some() {
                match values.get(at).and_then(small) {
                    Some(precision) => flags.precision = usize::try_from(precision).ok(),
                    None => out.push_str("%!(BADPREC)"),
                }
                at += 1;
                after_index = false;
            } else {
                flags.precision = Some(digits(&mut chars).unwrap_or(0));
            }
        }
        if !after_index {
            let more = index(&mut chars, &mut at, &mut reordered, values.len());
            good = good.and(more);
        }
        let Some(letter) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        match values.get(at) {
            _ if letter == '%' => out.push('%'),
            _ if good.is_none() => drop(write!(out, "%!{letter}(BADINDEX)")),
            None => drop(write!(out, "%!{letter}(MISSING)")),
            Some(value) => {
                verb(value, letter, flags, 0, &mut out);
                at += 1;
            }
        }
    }
    if !reordered && at < values.len() {
        let extra: Vec<String> = values[at..].iter().map(extra).collect();
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

fn extra(value: &Value) -> String {
    match value {
        Value::Invalid | Value::Any(None) => "<nil>".into(),
        Value::Any(Some(inner)) => extra(inner),
        other => format!("{}={}", other.kind(), plain(other)),
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn digits(chars: &mut Chars<'_>) -> Option<usize> {
    let mut text = String::new();
    while let Some(c) = chars.next_if(char::is_ascii_digit) {
        text.push(c);
    }
    text.parse().ok().filter(|n| *n <= 1_000_000)
}

/// `[3]`: `Some(true)` if there was a good one, `Some(false)` if there was none, `None` if it was bad.
fn index(chars: &mut Chars<'_>, at: &mut usize, reordered: &mut bool, count: usize) -> Option<bool> {
    if chars.peek() != Some(&'[') {
        return Some(false);
    }
    *reordered = true;
    if !chars.clone().any(|c| c == ']') {
        chars.next();
        return None;
    }
    chars.next();
    let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
    match inside.parse::<usize>() {
        Ok(n) if n >= 1 && n <= count => {
            *at = n - 1;
            Some(true)
        }
        _ => None,
    }
}

fn small(value: &Value) -> Option<i64> {
    match value {
        Value::Any(Some(inner)) => small(inner),
        Value::Int(n, _) if n.abs() <= 1_000_000 => Some(*n),
        Value::Uint(n, _) if *n <= 1_000_000 => i64::try_from(*n).ok(),
        _ => None,
    }
}

fn verb(value: &Value, letter: char, flags: Flags, depth: usize, out: &mut String) {
    let mut flags = flags;
    if depth == 0 && letter == 'v' {
        flags.names_fields |= std::mem::take(&mut flags.plus);
        flags.names_types |= std::mem::take(&mut flags.sharp);
    }
    if depth == 0 {
        match (letter, value) {
            (_, Value::Any(Some(inner))) => return verb(inner, letter, flags, 0, out),
            ('T', Value::Invalid | Value::Any(None)) => return pad("<nil>", flags, out),
            ('T', other) => return pad(&other.kind(), flags, out),
            ('v', Value::Invalid | Value::Any(None)) => return pad("<nil>", flags, out),
            (_, Value::Invalid | Value::Any(None)) => return out.push_str(&format!("%!{letter}(<nil>)")),
            ('p', other) => return bad(other, letter, flags, out),
            _ => {}
        }
    }
    match value {
        Value::Invalid | Value::Any(None) => pad("<nil>", flags, out),
        Value::Any(Some(inner)) => verb(inner, letter, flags, depth, out),
        Value::Bool(b) => match letter {
            't' | 'v' => pad(&b.to_string(), flags, out),
            _ => bad(value, letter, flags, out),
        },
        Value::Int(n, "time.Duration") if matches!(letter, 'v' | 's') => pad(&span(*n), flags, out),
        Value::Int(n, _) => integer(value, n.unsigned_abs(), *n < 0, letter, flags, out),
        Value::Uint(n, _) => integer(value, *n, false, letter, flags, out),
        Value::Float(f) => float(value, *f, letter, flags, out),
        Value::Text(t) | Value::Number(t) => text(value, t, letter, flags, out),
        Value::List(_, list) => {
            if flags.names_types {
                let items = list.as_deref().unwrap_or_default();
                let _ = match list {
                    None => write!(out, "{}(nil)", value.kind()),
                    Some(_) => write!(out, "{}{{", value.kind()),
                };
                if list.is_some() {
                    several(items.iter(), ", ", letter, flags, depth, out);
                    out.push('}');
                }
                return;
            }
            out.push('[');
            several(list.as_deref().unwrap_or_default().iter(), " ", letter, flags, depth, out);
            out.push(']');
        }
        Value::Map(_, Some(map)) | Value::Row(_, map) | Value::Headings(map) => {
            let (open, between) = if flags.names_types { (value.kind() + "{", ", ") } else { ("map[".into(), " ") };
            out.push_str(&open);
            for (i, (key, one)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(between);
                }
                verb(&Value::Text(key.as_str().into()), letter, flags, depth + 1, out);
                out.push(':');
                verb(one, letter, flags, depth + 1, out);
            }
            out.push(if between == " " { ']' } else { '}' });
        }
        Value::Map(_, None) if flags.names_types => drop(write!(out, "{}(nil)", value.kind())),
        Value::Map(_, None) => out.push_str("map[]"),
        Value::Struct(layout, values) => {
            let named = flags.names_fields || flags.names_types;
            if flags.names_types {
                out.push_str(layout.name);
            }
            out.push('{');
            for (i, (field, one)) in layout.fields.iter().zip(values.iter()).enumerate() {
                if i > 0 {
                    out.push_str(if flags.names_types { ", " } else { " " });
                }
                if named {
                    let _ = write!(out, "{}:", field.name);
                }
                verb(one, letter, flags, depth + 1, out);
            }
            out.push('}');
        }
        Value::Pointer(_, None) => match letter {
            'v' if flags.names_types => drop(write!(out, "({})(nil)", value.kind())),
            'v' => pad("<nil>", flags, out),
            _ => drop(write!(out, "%!{letter}({}=<nil>)", value.kind())),
        },
        Value::Pointer(_, Some(inner)) if depth == 0 => {
            out.push('&');
            verb(inner, letter, flags, depth + 1, out);
        }
        Value::Pointer(_, Some(inner)) if letter != 'v' => {
            let _ = write!(out, "%!{letter}({}=&{})", value.kind(), plain(inner));
        }
        Value::Pointer(..) => out.push_str("0xc000000000"),
    }
}

fn several<'a>(
    values: impl Iterator<Item = &'a Value>,
    between: &str,
    letter: char,
    flags: Flags,
    depth: usize,
    out: &mut String,
) {
    for (i, one) in values.enumerate() {
        if i > 0 {
            out.push_str(between);
        }
        verb(one, letter, flags, depth + 1, out);
    }
}

fn bad(value: &Value, letter: char, flags: Flags, out: &mut String) {
    let _ = write!(out, "%!{letter}({}=", value.kind());
    verb(value, 'v', flags, 1, out);
    out.push(')');
}

/// Pads to the width; zeros stand only before numbers.
fn pad(text: &str, flags: Flags, out: &mut String) {
    let missing = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    let fill = std::iter::repeat_n(if flags.zero && !flags.minus { '0' } else { ' ' }, missing);
    if flags.minus {
        out.push_str(text);
        out.extend(fill);
    } else {
        out.extend(fill);
        out.push_str(text);
    }
}

fn number(digits: &str, prefix: &str, negative: bool, flags: Flags, out: &mut String) {
    let sign = match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let used = sign.len() + prefix.len() + digits.len();
    if flags.zero && !flags.minus {
        let zeros = "0".repeat(flags.width.unwrap_or(0).saturating_sub(used));
        out.extend([sign, prefix, &zeros, digits]);
    } else {
        pad(&[sign, prefix, digits].concat(), Flags { zero: false, ..flags }, out);
    }
}

fn integer(value: &Value, size: u64, negative: bool, letter: char, flags: Flags, out: &mut String) {
    let character = u32::try_from(size).ok().filter(|_| !negative).and_then(char::from_u32).unwrap_or('\u{fffd}');
    let (mut digits, prefix) = match letter {
        'd' => (size.to_string(), ""),
        'v' if flags.names_types && matches!(value, Value::Uint(..)) => (format!("{size:x}"), "0x"),
        'v' => (size.to_string(), ""),
        'b' => (format!("{size:b}"), if flags.sharp { "0b" } else { "" }),
        'o' => (format!("{size:o}"), if flags.sharp { "0" } else { "" }),
        'O' => (format!("{size:o}"), "0o"),
        'x' => (format!("{size:x}"), if flags.sharp { "0x" } else { "" }),
        'X' => (format!("{size:X}"), if flags.sharp { "0X" } else { "" }),
        'c' => return pad(&character.to_string(), flags, out),
        'q' => return pad(&quote::quoted_char(character), flags, out),
        'U' if flags.sharp => return pad(&quote::code_point(character), Flags { zero: false, ..flags }, out),
        'U' => return pad(&format!("U+{size:04X}"), Flags { zero: false, ..flags }, out),
        _ => return bad(value, letter, flags, out),
    };
    let mut flags = flags;
    if let Some(precision) = flags.precision {
        flags.zero = false;
        if precision == 0 && size == 0 {
            return pad("", Flags { zero: false, ..flags }, out);
        }
        digits.insert_str(0, &"0".repeat(precision.saturating_sub(digits.len())));
    }
    number(&digits, prefix, negative, flags, out);
}

/// Go's text for a span of so many nanoseconds: `1h0m30s`, `1.5s`, `20ms`.
fn span(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let decimal = |unit: u64| {
        let text = format!("{}.{:0width$}", size / unit, size % unit, width = unit.ilog10() as usize);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match size {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(1_000_000)),
        _ => {
            let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
            let text = format!("{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000);
            let seconds = text.trim_end_matches('0').trim_end_matches('.');
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

fn float(value: &Value, f: f64, letter: char, flags: Flags, out: &mut String) {
    let size = f.abs();
    let digits = match letter {
        'v' | 'g' | 'G' => general(size, flags.precision),
        'f' | 'F' => format!("{size:.*}", flags.precision.unwrap_or(6)),
        'e' | 'E' => exponential(size, Some(flags.precision.unwrap_or(6))),
        _ => return bad(value, letter, flags, out),
    };
    let digits = if matches!(letter, 'G' | 'E') { digits.to_uppercase() } else { digits };
    number(&digits, "", f.is_sign_negative(), flags, out);
}

/// `1.5e+06`: Go's exponents have a sign and two digits.
fn exponential(f: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{f:.precision$e}"),
        None => format!("{f:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Go's `%g`: the shortest, with an exponent below 1e-4 and from 1e6 on (from 10^precision where one is given).
fn general(f: f64, precision: Option<usize>) -> String {
    let digits = precision.map(|p| p.max(1));
    let text = exponential(f, digits.map(|d| d - 1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let limit = digits.map_or(6, |d| i32::try_from(d).unwrap_or(i32::MAX));
    if exponent < -4 || exponent >= limit {
        let short =
            if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
        return text.replacen(mantissa, short, 1);
    }
    let Some(digits) = digits else { return format!("{f}") };
    let places = usize::try_from(i32::try_from(digits).unwrap_or(0) - 1 - exponent).unwrap_or(0);
    let fixed = format!("{f:.places$}");
    if fixed.contains('.') { fixed.trim_end_matches('0').trim_end_matches('.').into() } else { fixed }
}

fn text(value: &Value, t: &str, letter: char, flags: Flags, out: &mut String) {
    let cut: String = match flags.precision {
        Some(precision) => t.chars().take(precision).collect(),
        None => t.to_owned(),
    };
    match letter {
        'v' if flags.names_types => pad(&quote::quoted(&cut), flags, out),
        's' | 'v' => pad(&cut, flags, out),
        'q' if flags.sharp && !cut.contains('`') => pad(&format!("`{cut}`"), flags, out),
        'q' if flags.plus => pad(&quote::quoted_ascii(&cut), flags, out),
        'q' => pad(&quote::quoted(&cut), flags, out),
        'x' | 'X' => {
            let bytes = &t.as_bytes()[..flags.precision.unwrap_or(t.len()).min(t.len())];
            let lead = if flags.sharp { "0x" } else { "" };
            let between = if flags.space { format!(" {lead}") } else { String::new() };
            let hex = bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(&between);
            let hex = if hex.is_empty() { hex } else { format!("{lead}{hex}") };
            pad(&if letter == 'X' { hex.to_uppercase() } else { hex }, flags, out);
        }
        _ => bad(value, letter, flags, out),
    }
}
