//! Lists of processors and memory nodes, `0-2,4`, as the kernel prints them and docker takes them.

use std::collections::BTreeSet;

/// The highest number docker takes.
const HIGHEST: u32 = 8192;

/// The numbers in `text`; docker's words for what is none.
pub(super) fn parse(text: &str) -> Result<BTreeSet<u32>, String> {
    let wrong = || format!("invalid format: {text}");
    let number = |part: &str| match part.parse::<u32>() {
        Ok(number) if number > HIGHEST => Err(format!("value of out range, maximum is {HIGHEST}")),
        Ok(number) => Ok(number),
        Err(_) => Err(wrong()),
    };
    let mut numbers = BTreeSet::new();
    for part in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
        match part.split_once('-') {
            None => numbers.extend([number(part)?]),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return Err(wrong());
                }
                numbers.extend(first..=last);
            }
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists() {
        assert_eq!(parse("0-2,4\n"), Ok([0, 1, 2, 4].into()));
        assert_eq!(parse(""), Ok([].into()));
        for text in ["a", "2-1", "1-", ",", "-1"] {
            assert_eq!(parse(text), Err(format!("invalid format: {text}")));
        }
        assert_eq!(parse("9000"), Err("value of out range, maximum is 8192".into()));
    }
}
