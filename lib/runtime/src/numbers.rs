//! Lists of numbers as the kernel writes them: `0-3,7` (of processors, of memory nodes).

/// The numbers that `list` names, each below `limit`; an error says what is wrong with it.
pub(crate) fn parse(list: &str, limit: usize) -> Result<Vec<usize>, String> {
    let mut all = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let number =
                text.trim().parse::<usize>().map_err(|_| format!("{part:?} is no number and no range of numbers"))?;
            if number < limit { Ok(number) } else { Err(format!("{number} is more than {}", limit - 1)) }
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{part:?} ends before it begins"));
        }
        all.extend(first..=last);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn ranges_and_single_numbers() {
        assert_eq!(parse("0-3,7", 8), Ok(vec![0, 1, 2, 3, 7]));
        assert_eq!(parse("5", 8), Ok(vec![5]));
        for bad in ["", "a", "1-", "-1", "3-1", "8", "0,,1", "1-2-3"] {
            assert!(parse(bad, 8).is_err(), "{bad:?}");
        }
    }
}
