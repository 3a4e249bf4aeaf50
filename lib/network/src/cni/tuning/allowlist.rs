//! Which kernel parameters may be set on this host: regular expressions, one a line.
//!
//! The common part of their language is known here: `.`, `\` before a character, `[…]`, `*`, `+`, `?`, and `^`, `$` at the ends.
//! A line that has more allows nothing, so that what cannot be read is never taken for a yes.

use super::file_failure;
use spec::cni::Failure;
use std::path::Path;

/// Where the list is.
pub(super) const PATH: &str = "/etc/cni/tuning/allowlist.conf";

/// The list.
#[derive(Debug, Default)]
pub(super) struct Allowlist(Vec<String>);

/// The list of this host, if it has one.
pub(super) fn load() -> Result<Option<Allowlist>, Failure> {
    match std::fs::read_to_string(PATH) {
        Ok(text) => Ok(Some(Allowlist::parse(&text))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(file_failure("read", Path::new(PATH), &e)),
    }
}

impl Allowlist {
    fn parse(text: &str) -> Self {
        Self(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Whether one of the expressions is found in `key`.
    pub(super) fn allows(&self, key: &str) -> bool {
        let key: Vec<char> = key.chars().collect();
        self.0.iter().any(|line| Pattern::parse(line).is_some_and(|pattern| pattern.is_in(&key)))
    }
}

enum Atom {
    Any,
    One(char),
    Class { ranges: Vec<(char, char)>, negated: bool },
}

impl Atom {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => *one == c,
            Self::Class { ranges, negated } => ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)) != *negated,
        }
    }
}

struct Step {
    atom: Atom,
    least: usize,
    many: bool,
}

struct Pattern {
    steps: Vec<Step>,
    from_start: bool,
    to_end: bool,
}

impl Pattern {
    fn parse(line: &str) -> Option<Self> {
        let from_start = line.starts_with('^');
        let body = line.strip_prefix('^').unwrap_or(line);
        let to_end = body.ends_with('$') && !body.ends_with("\\$");
        let body = if to_end { &body[..body.len() - 1] } else { body };
        let mut steps: Vec<Step> = Vec::new();
        let mut chars = body.chars().peekable();
        while let Some(c) = chars.next() {
            let atom = match c {
                '*' | '+' | '?' => {
                    let last = steps.last_mut().filter(|step| step.least == 1 && !step.many)?;
                    (last.least, last.many) = (usize::from(c == '+'), c != '?');
                    continue;
                }
                '.' => Atom::Any,
                '\\' => Atom::One(chars.next().filter(|c| !c.is_ascii_alphanumeric())?),
                '[' => {
                    let negated = chars.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    loop {
                        let first = match chars.next()? {
                            ']' => break,
                            '\\' => chars.next()?,
                            c => c,
                        };
                        let mut last = first;
                        if chars.next_if_eq(&'-').is_some() {
                            last = chars.next()?;
                            if last == ']' {
                                ranges.extend([(first, first), ('-', '-')]);
                                break;
                            }
                        }
                        ranges.push((first, last));
                    }
                    Atom::Class { ranges, negated }
                }
                '(' | ')' | '|' | '{' | '}' | '^' | '$' => return None,
                c => Atom::One(c),
            };
            steps.push(Step { atom, least: 1, many: false });
        }
        Some(Self { steps, from_start, to_end })
    }

    fn is_in(&self, key: &[char]) -> bool {
        let starts = if self.from_start { 0..=0 } else { 0..=key.len() };
        starts.into_iter().any(|at| self.continues(&self.steps, &key[at..]))
    }

    fn continues(&self, steps: &[Step], rest: &[char]) -> bool {
        let Some((step, behind)) = steps.split_first() else { return !self.to_end || rest.is_empty() };
        let most = if step.many { rest.len() } else { 1 };
        let fitting = rest.iter().take(most).take_while(|c| step.atom.takes(**c)).count();
        (step.least..=fitting).any(|taken| self.continues(behind, &rest[taken..]))
    }
}

#[cfg(test)]
mod tests {
    use super::Allowlist;

    fn allows(list: &str, key: &str) -> bool {
        Allowlist::parse(list).allows(key)
    }

    #[test]
    fn expressions_as_people_write_them() {
        let list = "^net.core.somaxconn$\n\n^net\\.ipv4\\.conf\\.[a-z0-9]*\\.rp_filter$\nnetfilter";
        assert!(allows(list, "net.core.somaxconn") && !allows(list, "net.core.somaxconn2"));
        assert!(allows(list, "net.ipv4.conf.eth0.rp_filter") && !allows(list, "net.ipv4.conf.IFNAME.rp_filter"));
        assert!(allows(list, "net.netfilter.nf_conntrack_max") && !allows(list, "net.core.wmem_max"));
        assert!(allows("^net.ipv4.t?c+p_.*", "net.ipv4.tccp_x") && allows("[^a]-[x-]$", "b--"));
        assert!(!allows("", "net.core.somaxconn"), "an empty list allows nothing");
    }

    #[test]
    fn what_cannot_be_read_allows_nothing() {
        for line in ["net.(core|ipv4).x", "a{2}", "\\d", "[a-", "*a", "a**"] {
            assert!(!allows(line, "net.core.x") && !allows(line, "aa") && !allows(line, "1"), "{line}");
        }
    }
}
