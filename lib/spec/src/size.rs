//! Numbers of bytes as people write them for docker: its go-units, with its words for what is none.

/// A number of bytes: `64m`, `1.5g`, `512KiB`, `1024`; units are powers of 1024 (`RAMInBytes`).
pub fn in_1024(text: &str) -> Result<i64, String> {
    read(text, 1024.0)
}

/// The same with powers of 1000, whatever the letters (`FromHumanSize`).
pub fn in_1000(text: &str) -> Result<i64, String> {
    read(text, 1000.0)
}

fn read(text: &str, base: f64) -> Result<i64, String> {
    let wrong = || format!("invalid size: '{text}'");
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(wrong)?;
    let (number, suffix) = text.split_at(last + 1);
    // One blank may stand before the unit.
    let number = number.strip_suffix(' ').unwrap_or(number);
    let value = float(number)?;
    if value < 0.0 {
        return Err(wrong());
    }
    let lower = suffix.to_ascii_lowercase();
    let scale = match lower.as_bytes() {
        [] | [b'b'] => 1.0,
        [unit] | [unit, b'b'] | [unit, b'i', b'b'] => {
            let power = b"kmgtp".iter().position(|u| u == unit).ok_or_else(|| bad_suffix(suffix))?;
            base.powi(power as i32 + 1)
        }
        _ => return Err(bad_suffix(suffix)),
    };
    Ok((value * scale) as i64)
}

/// go-units lowers the suffix before it looks at it, unless it is too long to be one.
fn bad_suffix(suffix: &str) -> String {
    let shown = if suffix.len() > 3 { suffix.to_owned() } else { suffix.to_ascii_lowercase() };
    format!("invalid suffix: '{shown}'")
}

fn float(text: &str) -> Result<f64, String> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let value = plain.then(|| text.parse::<f64>().ok()).flatten();
    value.ok_or_else(|| format!("strconv.ParseFloat: parsing \"{text}\": invalid syntax"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_docker_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("2KiB", 2048),
            ("1.5g", 3 << 29),
            ("12b", 12),
            ("1 k", 1024),
        ] {
            assert_eq!(in_1024(text), Ok(bytes), "{text}");
        }
        for (text, why) in [
            ("", "invalid size: ''"),
            ("m", "invalid size: 'm'"),
            ("-1", "invalid size: '-1'"),
            ("1x", "invalid suffix: 'x'"),
            ("1MIX", "invalid suffix: 'mix'"),
            ("1mega", "invalid suffix: 'mega'"),
            ("1bb", "invalid suffix: 'bb'"),
            ("1..2", "strconv.ParseFloat: parsing \"1..2\": invalid syntax"),
        ] {
            assert_eq!(in_1024(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn what_is_not_memory_is_counted_in_thousands() {
        for (text, bytes) in [("10m", 10_000_000), ("1.5kB", 1500), ("2KiB", 2000), ("7", 7)] {
            assert_eq!(in_1000(text), Ok(bytes), "{text}");
        }
    }
}
