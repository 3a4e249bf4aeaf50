//! docker's words (`words.txt`), and how its help breaks lines.

/// What docker calls a command.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) usage: String,
    pub(super) about: String,
    /// What else its help says below that.
    pub(super) more: String,
    pub(super) alias: String,
    pub(super) options: Vec<Words>,
}

/// What docker calls an option.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) name: String,
    /// `string`, `list`, `bytes`; empty for a switch.
    pub(super) kind: String,
    pub(super) help: String,
}

/// All of them.
pub(super) fn entries() -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for line in include_str!("words.txt").lines() {
        let Some((what, text)) = line.split_once(' ') else { continue };
        let text = text.replace("\\n", "\n").replace("\\t", "\t");
        match (what, all.last_mut()) {
            ("=", _) => all.push(Entry { name: text, ..Entry::default() }),
            ("usage", Some(entry)) => entry.usage = text,
            ("about", Some(entry)) => entry.about = text,
            ("more", Some(entry)) => entry.more = text,
            ("alias", Some(entry)) => entry.alias = text,
            ("opt", Some(entry)) => {
                let mut parts = text.splitn(4, '|').skip(1).map(str::to_owned);
                let mut next = || parts.next().unwrap_or_default();
                entry.options.push(Words { name: next(), kind: next(), help: next() });
            }
            _ => {}
        }
    }
    all
}

/// Breaks `text` at blanks into lines that fit between `indent` and `columns`; no line but the first is indented by who
/// calls. A last word may go five columns further, so that none stands alone.
pub(super) fn wrap(indent: usize, columns: usize, text: &str) -> String {
    const SLOP: usize = 5;
    const LEAST: usize = 24;
    let room = columns.saturating_sub(indent);
    if room < LEAST {
        return text.replace('\n', &format!("\n{}", " ".repeat(indent)));
    }
    let room = room - SLOP;
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.chars().count() >= room + SLOP {
        let end = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
        let start = &rest[..end];
        let at = match (start.find('\n'), start.rfind([' ', '\t', '\n'])) {
            (Some(line_end), _) if line_end > 0 => start.rfind('\n').unwrap_or(line_end),
            (_, Some(blank)) if blank > 0 => blank,
            _ => break,
        };
        lines.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    lines.push(rest);
    lines.join("\n").replace('\n', &format!("\n{}", " ".repeat(indent)))
}
