//! Numbers and parts of processors, as Go's packages read them for docker.

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
