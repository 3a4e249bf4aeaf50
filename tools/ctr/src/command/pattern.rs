//! Patterns of names, as Go's `path.Match` has them: `*` and `?` stand for what is no slash, `[a-z]` and `[^a-z]` for one of these or
//! none of them, and a backslash takes the meaning of what follows.

/// Whether `pattern` can be read.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    let mut rest = pattern.chars().collect::<Vec<_>>();
    rest.reverse();
    while let Some(c) = rest.pop() {
        let fine = match c {
            '\\' => rest.pop().is_some(),
            '[' => class(&mut rest).is_some(),
            _ => true,
        };
        if !fine {
            return false;
        }
    }
    true
}

/// Whether `text` fits `pattern`; none fits one that cannot be read.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let reversed = |text: &str| text.chars().rev().collect::<Vec<char>>();
    is_pattern(pattern) && fits(reversed(pattern), &reversed(text))
}

/// Both with their beginnings last.
fn fits(mut pattern: Vec<char>, text: &[char]) -> bool {
    let Some(wanted) = pattern.pop() else { return text.is_empty() };
    if wanted == '*' {
        let reach = text.iter().rev().take_while(|c| **c != '/').count();
        return (0..=reach).any(|taken| fits(pattern.clone(), &text[..text.len() - taken]));
    }
    let Some((first, rest)) = text.split_last() else { return false };
    let one = match wanted {
        '?' => *first != '/',
        '[' => class(&mut pattern).is_some_and(|class| class.has(*first)),
        '\\' => pattern.pop() == Some(*first),
        other => other == *first,
    };
    one && fits(pattern, rest)
}

/// What stands in brackets.
struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }
}

/// Takes it from behind its bracket; none where it has no end.
fn class(rest: &mut Vec<char>) -> Option<Class> {
    let mut found = Class { negated: rest.last() == Some(&'^'), ranges: Vec::new() };
    if found.negated {
        rest.pop();
    }
    let one = |rest: &mut Vec<char>| match rest.pop()? {
        '-' | ']' => None,
        '\\' => rest.pop(),
        other => Some(other),
    };
    while found.ranges.is_empty() || rest.last() != Some(&']') {
        let low = one(rest)?;
        let high = if rest.last() == Some(&'-') {
            rest.pop();
            one(rest)?
        } else {
            low
        };
        found.ranges.push((low, high));
    }
    rest.pop();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_gos() {
        for (pattern, text, want) in [
            ("", "", true),
            ("a*", "abc", true),
            ("a*", "a/b", false),
            ("*/b", "a/b", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("o[st]her", "other", true),
            ("o[^st]her", "other", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[^a-c]x", "dx", true),
            ("a[^b]c", "a/c", true),
            ("a[^/]c", "a/c", false),
            (r"\*", "*", true),
            (r"[\]]", "]", true),
            ("*:*", "a:b", true),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
        for wrong in ["[", "[]", "[]a]", "[a", "[-x]", "a\\", "[a-]"] {
            assert!(!is_pattern(wrong) && !matches(wrong, wrong), "{wrong}");
        }
    }
}
