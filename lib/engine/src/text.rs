//! Text with named values in it: `$tmp/root` in a printed script, `/run/veneer/…/root` when we run it ourselves.

use std::fmt::Write as _;

/// A value that is known only when the plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The folder of this run: mount point, bundle, generated files.
    Tmp,
    /// The container's own lines of `/etc/hosts`, from the addresses that `netwire attach` told.
    Hosts,
    /// `/etc/resolv.conf`, with the network's own name servers where it has some.
    Resolver,
    /// The first network's gateway.
    Gateway,
}

impl Name {
    const ALL: [Self; 4] = [Self::Tmp, Self::Hosts, Self::Resolver, Self::Gateway];

    /// Its name in a script.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tmp => "tmp",
            Self::Hosts => "hosts",
            Self::Resolver => "resolver",
            Self::Gateway => "gateway",
        }
    }

    /// A value stands in the text as one of Unicode's noncharacters, which by definition never are anybody's data.
    fn mark(self) -> char {
        match self {
            Self::Tmp => '\u{fdd0}',
            Self::Hosts => '\u{fdd1}',
            Self::Resolver => '\u{fdd2}',
            Self::Gateway => '\u{fdd3}',
        }
    }

    fn of_mark(c: char) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.mark() == c)
    }
}

/// Text with values still to be filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(String);

impl Text {
    /// Text without values. Marks that came in from outside are replaced, so that data can never name a value.
    pub fn plain(text: &str) -> Self {
        Self(text.chars().map(|c| if Name::of_mark(c).is_some() { '\u{fffd}' } else { c }).collect())
    }

    /// `path` below the run's folder: `$tmp/path`.
    pub fn tmp(path: &str) -> Self {
        let mut text = Self(Name::Tmp.mark().to_string());
        if !path.is_empty() {
            let _ = write!(text.0, "/{path}");
        }
        text
    }

    /// The value `name`.
    pub fn value(name: Name) -> Self {
        Self(name.mark().to_string())
    }

    /// The same with `more` behind it.
    #[must_use]
    pub fn then(mut self, more: &Self) -> Self {
        self.0.push_str(&more.0);
        self
    }

    /// Text that may hold values, as a string to be put into a larger document; [`Text::from_marked`] takes it back.
    pub(crate) fn marked(&self) -> &str {
        &self.0
    }

    /// A document into which [`Text::marked`] strings were put.
    pub(crate) fn from_marked(text: String) -> Self {
        Self(text)
    }

    /// The text with every value filled in.
    pub fn fill(&self, value: impl Fn(Name) -> String) -> String {
        let mut out = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            match Name::of_mark(c) {
                Some(name) => out.push_str(&value(name)),
                None => out.push(c),
            }
        }
        out
    }

    /// One word of a shell command: quoted so that only values are expanded.
    pub fn shell_word(&self) -> String {
        let has_value = self.0.chars().any(|c| Name::of_mark(c).is_some());
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
        if !self.0.is_empty() && !has_value && self.0.chars().all(safe) {
            return self.0.clone();
        }
        if !has_value {
            return format!("'{}'", self.0.replace('\'', r"'\''"));
        }
        format!("\"{}\"", self.shell_double_quoted(true))
    }

    /// The text for an unquoted here-document: `\`, `$` and `` ` `` are escaped, values are `$name`.
    pub fn here_document(&self) -> String {
        self.shell_double_quoted(false)
    }

    fn shell_double_quoted(&self, quotes: bool) -> String {
        let mut out = String::with_capacity(self.0.len() + 8);
        let mut chars = self.0.chars().peekable();
        while let Some(c) = chars.next() {
            match Name::of_mark(c) {
                Some(name) => {
                    let glued = chars.peek().is_some_and(|n| n.is_ascii_alphanumeric() || *n == '_');
                    let _ = match glued {
                        true => write!(out, "${{{}}}", name.word()),
                        false => write!(out, "${}", name.word()),
                    };
                }
                None => {
                    if matches!(c, '\\' | '$' | '`') || (quotes && c == '"') {
                        out.push('\\');
                    }
                    out.push(c);
                }
            }
        }
        out
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::plain(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::plain(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_are_expanded_by_the_shell() {
        assert_eq!(Text::plain("a-b/c").shell_word(), "a-b/c");
        assert_eq!(Text::plain("").shell_word(), "''");
        assert_eq!(Text::plain("it's $HOME").shell_word(), r"'it'\''s $HOME'");
        assert_eq!(Text::tmp("root").shell_word(), "\"$tmp/root\"");
        let mixed = Text::plain("lowerdir=/a\"$x,upperdir=").then(&Text::tmp("up"));
        assert_eq!(mixed.shell_word(), "\"lowerdir=/a\\\"\\$x,upperdir=$tmp/up\"");
        assert_eq!(Text::value(Name::Tmp).then(&"x".into()).shell_word(), "\"${tmp}x\"");
        assert_eq!(Text::plain("{\"a\": \"\\n$`\"}").here_document(), "{\"a\": \"\\\\n\\$\\`\"}");
    }

    #[test]
    fn data_cannot_name_a_value() {
        assert_eq!(Text::plain("\u{fdd0}/etc").fill(|_| "/".into()), "\u{fffd}/etc");
        assert_eq!(Text::tmp("a").fill(|_| "/run".into()), "/run/a");
    }
}
