//! Sizes, numbers and parts of processors, as Go's packages read them for docker.

/// A number of bytes: `64m`, `1.5g`, `512KiB`, `1024`; units are powers of 1024 (go-units, `RAMInBytes`).
pub fn size(text: &str) -> Result<i64, String> {
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
            1024_f64.powi(power as i32 + 1)
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

/// A whole number, in Go's words where it is none.
pub fn number(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|e| go_words("ParseInt", text, &e))
}

fn go_words(function: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let why = if matches!(error.kind(), PosOverflow | NegOverflow) { "value out of range" } else { "invalid syntax" };
    format!("strconv.{function}: parsing \"{text}\": {why}")
}

/// A small whole number without a sign.
pub fn small(text: &str) -> Result<u16, String> {
    text.parse::<u16>().map_err(|e| go_words("ParseUint", text, &e))
}

/// A number of processors in billionths: `1.5`, `1/3` is too precise.
pub fn cpus(text: &str) -> Result<i64, String> {
    const NANO: i128 = 1_000_000_000;
    let wrong = || format!("failed to parse {text} as a rational number");
    let (numerator, denominator) = match text.split_once('/') {
        Some((above, below)) => {
            let whole = |part: &str| part.parse::<i64>().map(i128::from).map_err(|_| wrong());
            (whole(above)?, whole(below)?)
        }
        None => decimal(text).ok_or_else(wrong)?,
    };
    if denominator <= 0 {
        return Err(wrong());
    }
    if (numerator * NANO) % denominator != 0 {
        return Err("value is too precise".into());
    }
    i64::try_from(numerator * NANO / denominator).map_err(|_| wrong())
}

/// `-1.25` is (-125, 100); `5e-1` is (5, 10).
fn decimal(text: &str) -> Option<(i128, i128)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let bare = digits.strip_prefix(['-', '+']).unwrap_or(&digits);
    if bare.is_empty() || bare.len() > 18 || !bare.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i128 = digits.parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()? - exponent;
    let power = 10_i128.checked_pow(scale.unsigned_abs()).filter(|p| *p <= 10_i128.pow(18))?;
    Some(if scale >= 0 { (value, power) } else { (value * power, 1) })
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
            assert_eq!(size(text), Ok(bytes), "{text}");
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
            assert_eq!(size(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn numbers_in_gos_words() {
        assert_eq!(number("-1"), Ok(-1));
        assert_eq!(number("x").unwrap_err(), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(
            number("99999999999999999999").unwrap_err(),
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
        );
        assert_eq!(small("70000").unwrap_err(), "strconv.ParseUint: parsing \"70000\": value out of range");
    }

    #[test]
    fn processors() {
        for (text, nano) in [
            ("1", 1_000_000_000),
            ("0.5", 500_000_000),
            (".25", 250_000_000),
            ("-1", -1_000_000_000),
            ("1/2", 500_000_000),
            ("5e-1", 500_000_000),
            ("0", 0),
        ] {
            assert_eq!(cpus(text), Ok(nano), "{text}");
        }
        for text in ["", "x", "1.2.3", "1/0", "one"] {
            assert_eq!(cpus(text).unwrap_err(), format!("failed to parse {text} as a rational number"));
        }
        assert_eq!(cpus("0.0000000001").unwrap_err(), "value is too precise");
        assert_eq!(cpus("1/3").unwrap_err(), "value is too precise");
    }
}
