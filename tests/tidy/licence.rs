//! Licence expressions of packages (SPDX, and the `/` that older ones write for OR) against the list in deny.toml.

/// Whether what `expression` allows includes a choice made of `accepted` licences only.
pub(crate) fn accepts(accepted: &[String], expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (fine, rest) = either(accepted, &words);
    fine && rest.is_empty()
}

/// `a OR b`, which binds weaker than AND.
fn either<'a, 'b>(accepted: &[String], words: &'b [&'a str]) -> (bool, &'b [&'a str]) {
    let (mut fine, mut rest) = both(accepted, words);
    while let [first, more @ ..] = rest
        && *first == "OR"
    {
        let (other, after) = both(accepted, more);
        fine |= other;
        rest = after;
    }
    (fine, rest)
}

fn both<'a, 'b>(accepted: &[String], words: &'b [&'a str]) -> (bool, &'b [&'a str]) {
    let (mut fine, mut rest) = one(accepted, words);
    while let [first, more @ ..] = rest
        && *first == "AND"
    {
        let (other, after) = one(accepted, more);
        fine &= other;
        rest = after;
    }
    (fine, rest)
}

fn one<'a, 'b>(accepted: &[String], words: &'b [&'a str]) -> (bool, &'b [&'a str]) {
    match words {
        ["(", inner @ ..] => {
            let (fine, rest) = either(accepted, inner);
            match rest {
                [")", after @ ..] => (fine, after),
                _ => (false, rest),
            }
        }
        [licence, "WITH", exception, after @ ..] => (accepted.contains(&format!("{licence} WITH {exception}")), after),
        [licence, after @ ..] => (accepted.iter().any(|a| a == licence), after),
        [] => (false, words),
    }
}

/// The list `allow = [...]` below `[licenses]` of deny.toml.
pub(crate) fn accepted(deny_toml: &str) -> Vec<String> {
    let section = deny_toml.split("[licenses]").nth(1).unwrap_or("");
    let list = section.split("allow = [").nth(1).and_then(|l| l.split(']').next()).unwrap_or("");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn expressions_are_read_as_spdx_has_them() {
    let accepted = accepted("x = [\"GPL\"]\n[licenses]\nallow = [\"MIT\",\n \"A WITH B\", \"Zlib\"]\n");
    for fine in
        ["MIT", "GPL OR MIT", "MIT/GPL", "MIT AND Zlib", "GPL OR (MIT AND Zlib)", "A WITH B", "(MIT OR GPL) AND Zlib"]
    {
        assert!(accepts(&accepted, fine), "{fine}");
    }
    for not in ["", "GPL", "GPL AND MIT", "A", "MIT AND (GPL)", "MIT MIT", "GPL OR"] {
        assert!(!accepts(&accepted, not), "{not}");
    }
}
