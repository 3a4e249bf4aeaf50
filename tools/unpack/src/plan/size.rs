//! Sizes as GNU programs take them.

/// Bytes: a number, perhaps with a fraction, and perhaps K, M, G, T or P (powers of 1024; with iB the same, with B of 1000).
pub(crate) fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let power = |letter: char| "kmgtp".find(letter.to_ascii_lowercase()).and_then(|at| u32::try_from(at + 1).ok());
    let mut letters = unit.chars();
    let factor = match (letters.next(), letters.as_str()) {
        (None, _) | (Some('B' | 'b'), "") => 1,
        (Some(letter), "" | "iB" | "ib") => 1024_u128.pow(power(letter)?),
        (Some(letter), "B" | "b") => 1000_u128.pow(power(letter)?),
        _ => return None,
    };
    let mut bytes = whole.parse::<u64>().ok()? as u128 * factor;
    if !fraction.is_empty() {
        bytes += fraction.parse::<u128>().ok()? * factor / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    }
    u64::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1000000", Some(1_000_000)),
            ("1K", Some(1024)),
            ("1kB", Some(1000)),
            ("1KiB", Some(1024)),
            ("500M", Some(500 << 20)),
            ("1.5g", Some(3 << 29)),
            ("16P", Some(16 << 50)),
            ("16000000P", None),
            ("", None),
            ("M", None),
            ("1.", Some(1)),
            ("1.2.3", None),
            ("1X", None),
            ("-1", None),
            ("1 M", None),
            ("ü", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }
}
