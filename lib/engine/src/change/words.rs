//! The words of a Dockerfile's instructions: lines, pairs, quotes, variables (moby, frontend/dockerfile/shell/lex.go).

use crate::{Error, Kind, Result};

/// The instructions of a text: continued lines joined, comments and empty lines left out.
pub(super) fn lines(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && open.is_some()) {
            continue;
        }
        let mut whole = open.take().unwrap_or_default();
        match trimmed.strip_suffix('\\') {
            Some(start) => {
                whole.push_str(start);
                open = Some(whole);
            }
            None => {
                whole.push_str(trimmed);
                all.push(whole);
            }
        }
    }
    all.extend(open);
    all.retain(|line| !line.trim().is_empty());
    all
}

/// `["a", "b"]`; `None` where it is no JSON list of texts.
pub(super) fn exec_form(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// `a=b c="d e"`, or `a b c` in the old form, which sets one; what is quoted keeps its blanks.
pub(super) fn pairs(word: &str, text: &str, env: &[String]) -> Result<Vec<(String, String)>> {
    let raw = raw_words(text)?;
    let Some(first) = raw.first() else { return Ok(Vec::new()) };
    if !first.contains('=') {
        let (name, value) =
            text.split_once(char::is_whitespace).ok_or_else(|| wrong(format!("{word} must have two arguments")))?;
        return Ok(vec![(expand(name, env)?, expand(value.trim(), env)?)]);
    }
    raw.iter()
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                wrong(format!("Syntax error - can't find = in {pair:?}. Must be of the form: name=value"))
            })?;
            if name.is_empty() {
                return Err(wrong(format!("{word} names can not be blank")));
            }
            Ok((expand(name, env)?, expand(value, env)?))
        })
        .collect()
}

/// Words between blanks, expanded and without their quotes.
pub(super) fn split(text: &str, env: &[String]) -> Result<Vec<String>> {
    raw_words(text)?.iter().map(|word| expand(word, env)).collect()
}

/// Words between blanks that no quote holds together, as they are written.
fn raw_words(text: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                word.push(c);
                word.extend(chars.next());
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.push(c);
            }
            (c, Some(q)) if c == q => {
                quote = None;
                word.push(c);
            }
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            (c, _) => word.push(c),
        }
    }
    no_quote_left(quote)?;
    if !word.is_empty() {
        all.push(word);
    }
    Ok(all)
}

fn no_quote_left(quote: Option<char>) -> Result<()> {
    let kind = match quote {
        None => return Ok(()),
        Some('"') => "double",
        Some(_) => "single",
    };
    Err(wrong(format!("unexpected end of statement while looking for matching {kind}-quote")))
}

/// Takes quotes away and puts the values of variables in: `$A`, `${A}`, `${A:-word}`, `${A:+word}`.
pub(super) fn expand(text: &str, env: &[String]) -> Result<String> {
    let mut out = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None) => out.extend(chars.next()),
            ('\\', Some('"')) => match chars.peek() {
                Some('"' | '$' | '\\') => out.extend(chars.next()),
                _ => out.push(c),
            },
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            ('$', None | Some('"')) => variable(&mut chars, env, &mut out)?,
            (c, _) => out.push(c),
        }
    }
    no_quote_left(quote)?;
    Ok(out)
}

fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, env: &[String], out: &mut String) -> Result<()> {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let value = |name: &str| env.iter().rev().find_map(|e| e.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    if chars.next_if_eq(&'{').is_none() {
        let mut name = String::new();
        while let Some(c) = chars.next_if(is_name) {
            name.push(c);
        }
        if name.is_empty() {
            out.push('$');
        }
        out.push_str(&value(&name).unwrap_or_default());
        return Ok(());
    }
    let mut inside = String::new();
    let mut depth = 1;
    for c in chars.by_ref() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            break;
        }
        inside.push(c);
    }
    if depth != 0 {
        return Err(wrong("syntax error: missing '}'".into()));
    }
    let end = inside.find(|c| !is_name(&c)).unwrap_or(inside.len());
    let (name, modifier) = inside.split_at(end);
    if name.is_empty() {
        return Err(wrong("syntax error: bad substitution".into()));
    }
    let found = value(name);
    let filled = found.as_deref().is_some_and(|v| !v.is_empty());
    let text = match modifier {
        "" => found.unwrap_or_default(),
        _ => {
            let (empty_counts, rest) = match modifier.strip_prefix(':') {
                Some(rest) => (true, rest),
                None => (false, modifier),
            };
            let is_set = if empty_counts { filled } else { found.is_some() };
            match rest.split_at_checked(1) {
                Some(("-", word)) if !is_set => expand(word, env)?,
                Some(("-", _)) => found.unwrap_or_default(),
                Some(("+", word)) if is_set => expand(word, env)?,
                Some(("+", _)) => String::new(),
                _ => return Err(wrong(format!("unsupported modifier ({modifier}) in substitution"))),
            }
        }
    };
    out.push_str(&text);
    Ok(())
}

fn wrong(text: String) -> Error {
    Error::new(Kind::Request, "", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_quotes() {
        let env = ["A=one".to_owned(), "E=".to_owned()];
        for (text, want) in [
            ("$A-${A}x", "one-onex"),
            ("'$A' \"$A\"", "$A one"),
            ("\\$A", "$A"),
            ("${N:-w}${E:-w}${E-w}${A:+y}${N:+y}", "wwy"),
            ("${N:-${A}}", "one"),
            ("$ a", "$ a"),
        ] {
            assert_eq!(expand(text, &env).unwrap(), want, "{text}");
        }
        assert!(expand("${A", &env).is_err());
    }

    #[test]
    fn lines_are_joined_and_comments_go() {
        assert_eq!(lines("ENV a=1 \\\n  # no\n  b=2\n\n# x\nUSER me"), ["ENV a=1 b=2", "USER me"]);
    }
}
