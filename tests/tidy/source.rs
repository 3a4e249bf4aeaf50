//! Reading the project's own files: which there are, and a Rust file with its comments and literals blanked out, so that a
//! rule about code is not tripped by prose.

use std::path::{Path, PathBuf};

/// The folder of the root Cargo.toml.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One text file of the project.
#[derive(Debug)]
pub(crate) struct File {
    /// Path from the root, `/`-separated.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

impl File {
    /// The crate's folder (`lib/sys`, `tools/ctr`, or empty for the root package).
    pub(crate) fn room(&self) -> &str {
        let mut slashes = self.path.match_indices('/').map(|(at, _)| at);
        match (self.path.starts_with("lib/") || self.path.starts_with("tools/"), slashes.nth(1)) {
            (true, Some(end)) => &self.path[..end],
            _ => "",
        }
    }

    /// The file's name without its folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the whole file is a crate's unit tests: `tests.rs`, or below a folder `tests/` of its sources.
    pub(crate) fn is_unit_tests(&self) -> bool {
        self.name() == "tests.rs" || self.path.split_once("/src/").is_some_and(|(_, path)| path.contains("tests/"))
    }

    /// The lines of code with comments and the insides of literals blanked, numbered from 1.
    pub(crate) fn code(&self) -> Vec<(usize, String)> {
        numbered(&blank(&self.text))
    }

    /// The same without the blocks behind `#[cfg(test)]`.
    pub(crate) fn shipped_code(&self) -> Vec<(usize, String)> {
        numbered(&without_unit_tests(&blank(&self.text)))
    }
}

fn numbered(text: &str) -> Vec<(usize, String)> {
    text.lines().enumerate().map(|(i, l)| (i + 1, l.to_owned())).collect()
}

/// Every text file below the root, but for what git ignores and the lock file.
pub(crate) fn files() -> Vec<File> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The Rust files among [`files`].
pub(crate) fn rust_files() -> Vec<File> {
    files().into_iter().filter(|f| f.path.ends_with(".rs")).collect()
}

fn walk(dir: &Path, found: &mut Vec<File>) {
    for entry in dir.read_dir().expect("a readable folder").flatten() {
        let path: PathBuf = entry.path();
        let name = entry.file_name();
        if [".git", "target", "Cargo.lock"].iter().any(|skip| name == *skip) {
            continue;
        }
        let kind = entry.file_type().expect("a file type");
        if kind.is_dir() {
            walk(&path, found);
        } else if kind.is_file()
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root()).expect("below the root").to_str().expect("a plain name").to_owned();
            found.push(File { path, text });
        }
    }
}

/// `text` with comments and the insides of string and character literals replaced by spaces, line for line.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at + 1..].starts_with(b"/") => line_end(bytes, at),
            b'/' if bytes[at + 1..].starts_with(b"*") => block_comment_end(bytes, at),
            b'"' => quoted_end(bytes, at),
            b'r' if !follows_word(bytes, at) => raw_string_end(bytes, at).unwrap_or(at),
            b'\'' => char_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("only whole literals were blanked")
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') && bytes[at - 1] != b'b'
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    i
}

fn quoted_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let rest = &bytes[open + 1..];
    let end = rest.windows(close.len()).position(|w| w == close)?;
    Some(open + 1 + end + close.len())
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at + 1..)?;
    if rest.first() == Some(&b'\\') {
        return rest.iter().skip(2).position(|b| *b == b'\'').map(|n| at + 1 + 2 + n + 1);
    }
    let width = std::str::from_utf8(&rest[..rest.len().min(4)])
        .or_else(|e| std::str::from_utf8(&rest[..e.valid_up_to()]))
        .ok()?
        .chars()
        .next()?
        .len_utf8();
    (rest.get(width) == Some(&b'\'')).then_some(at + 1 + width + 1)
}

/// Blanked code with each item behind `#[cfg(test)]` blanked too.
fn without_unit_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(code.as_bytes(), start);
        for byte in &mut out[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    String::from_utf8(out).expect("whole items were blanked")
}

fn item_end(code: &[u8], start: usize) -> usize {
    let mut depth = 0;
    for (i, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return i + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn prose_and_literals_are_not_code() {
    let file = File {
        path: "x.rs".into(),
        text: "let a = \"unsafe \\\" {\"; // unsafe\nlet b = r#\"unsafe\"#; /* unsafe /* */ */ let c = '\"';\nfn d<'a>(x: &'a str) { 'é' }"
            .into(),
    };
    let code: String = file.code().iter().map(|(_, l)| l.as_str()).collect();
    assert!(!code.contains("unsafe"), "{code}");
    for kept in ["let a", "let b", "let c", "fn d<'a>(x: &'a str) {", "}"] {
        assert!(code.contains(kept), "{kept} in {code}");
    }
}

#[test]
fn unit_tests_are_not_shipped() {
    let file =
        File { path: "x.rs".into(), text: "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { {} } }\nfn c() {}\n".into() };
    let code: String = file.shipped_code().iter().map(|(_, l)| l.as_str()).collect();
    assert!(code.contains("fn a()") && code.contains("fn c()") && !code.contains("fn b()"), "{code}");
}
