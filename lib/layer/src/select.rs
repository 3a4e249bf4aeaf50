//! Which entries of a layer are wanted: GNU tar's patterns (tar.info, "Controlling Pattern-Matching").
//!
//! ```text
//! include  as `tar -x --wildcards PATTERN`    holds for the whole path from the layer's root on (`etc/*`, `*.conf`)
//! exclude  as `tar --exclude=PATTERN`         holds from the root on or behind any slash (`*.o`, `doc/man`)
//! both     `*` and `?` match a slash too; what matches brings everything below it along; excluding wins
//! ```
//!
//! Three differences, for paths are normalised here where GNU tar takes what the archive has. A pattern may begin with `./`
//! or `/`, which means the layer's root and nothing deeper; so `/etc` fits `./etc` of the archive and `etc` alike. A slash
//! at the end of a pattern means nothing. And a whiteout is wanted whenever what it hides is not excluded, for what it
//! hides may be wanted, or lie above something that is: left out, it would bring back what the image has removed.

mod pattern;

use pattern::Pattern;
use spec::whiteout::{self, Name};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is wanted of a layer. Without patterns, everything.
#[derive(Debug, Default)]
pub struct Select {
    include: Vec<(Pattern, AtomicBool)>,
    exclude: Vec<Pattern>,
}

impl Select {
    /// What fits one of `include` (everything, where that is empty) and none of `exclude`.
    pub fn new<P: AsRef<[u8]>>(include: &[P], exclude: &[P]) -> Self {
        Self {
            include: include.iter().map(|p| (Pattern::at_root(p.as_ref()), AtomicBool::new(false))).collect(),
            exclude: exclude.iter().map(|p| Pattern::anywhere(p.as_ref())).collect(),
        }
    }

    /// Whether there is nothing to choose.
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether the entry at `path` is wanted: a normalised path, without `.`, `..` and slashes at its ends; empty for the root.
    pub fn takes(&self, path: &[u8]) -> bool {
        if self.is_everything() {
            return true;
        }
        if path.is_empty() {
            return self.included(b".");
        }
        if self.exclude.iter().any(|p| p.fits(path)) {
            return false;
        }
        match hidden_by(path) {
            Some(hidden) => hidden.is_empty() || !self.exclude.iter().any(|p| p.fits(&hidden)),
            None => self.included(path),
        }
    }

    /// Whether `path` and all below it are unwanted because a pattern excludes them.
    pub fn excludes(&self, path: &[u8]) -> bool {
        !path.is_empty() && self.exclude.iter().any(|p| p.fits(path))
    }

    fn included(&self, path: &[u8]) -> bool {
        let mut any = self.include.is_empty();
        for (pattern, used) in &self.include {
            // One that has been used need not be looked at once more where another fits already.
            if (!any || !used.load(Ordering::Relaxed)) && pattern.fits(path) {
                used.store(true, Ordering::Relaxed);
                any = true;
            }
        }
        any
    }

    /// The patterns to include that nothing asked for so far has fitted.
    pub fn unused(&self) -> impl Iterator<Item = &[u8]> {
        self.include.iter().filter(|(_, used)| !used.load(Ordering::Relaxed)).map(|(p, _)| p.as_written())
    }

    /// A text that two selections share only if they choose alike: a word for the name of a folder with part of a layer.
    pub fn mark(&self) -> Option<String> {
        if self.is_everything() {
            return None;
        }
        let mut all = Vec::new();
        for (sign, pattern) in self.include.iter().map(|(p, _)| (b'+', p)).chain(self.exclude.iter().map(|p| (b'-', p)))
        {
            all.push(sign);
            all.extend_from_slice(pattern.as_written());
            all.push(0);
        }
        Some(spec::Digest::of(&all).hex()[..12].to_owned())
    }
}

/// What a whiteout at `path` hides; the directory it is in for an opaque one. `None` if it is none.
fn hidden_by(path: &[u8]) -> Option<Vec<u8>> {
    let at = path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
    let (parent, last) = path.split_at(at);
    match whiteout::parse_name(last) {
        Name::Opaque => Some(parent.strip_suffix(b"/").unwrap_or(parent).to_vec()),
        Name::Whiteout(name) => Some([parent, name].concat()),
        Name::Plain(_) | Name::Reserved => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: &[&str] = &[
        "a",
        "a/b",
        "a/b/foo",
        "a/b/c",
        "a/b/c/f",
        "sp*",
        "sp*/x",
        "etc",
        "etc/foo.conf",
        "etc/passwd",
        "usr",
        "usr/.hid2",
        "usr/share/doc",
        "usr/share/doc/copyright",
        "foo",
        ".hid",
        "ü",
        "a[b",
    ];

    fn taken(include: &[&str], exclude: &[&str]) -> String {
        let select = Select::new(include, exclude);
        let paths: Vec<&str> = PATHS.iter().copied().filter(|p| select.takes(p.as_bytes())).collect();
        paths.join(" ")
    }

    fn left_out(exclude: &str) -> String {
        let select = Select::new(&[], &[exclude]);
        let paths: Vec<&str> = PATHS.iter().copied().filter(|p| !select.takes(p.as_bytes())).collect();
        paths.join(" ")
    }

    #[test]
    fn excludes_as_tar_does() {
        for (pattern, out) in [
            ("foo", "a/b/foo foo"),
            ("b", "a/b a/b/foo a/b/c a/b/c/f"),
            ("b/c", "a/b/c a/b/c/f"),
            ("*hid*", "usr/.hid2 .hid"),
            (".hid", ".hid"),
            ("?", "a a/b a/b/foo a/b/c a/b/c/f sp*/x ü"),
            ("a[b", "a[b"),
            ("a[[]b", "a[b"),
            ("sp\\*", "sp* sp*/x"),
            ("share/*", "usr/share/doc usr/share/doc/copyright"),
            ("c/f", "a/b/c/f"),
            ("[a-e]tc", "etc etc/foo.conf etc/passwd"),
            ("[!a]tc", "etc etc/foo.conf etc/passwd"),
            ("[[:alpha:]]tc", "etc etc/foo.conf etc/passwd"),
            ("a//b", ""),
            // Ours: the root by name, and slashes at the end.
            ("/foo", "foo"),
            ("./etc", "etc etc/foo.conf etc/passwd"),
            ("a/b/", "a/b a/b/foo a/b/c a/b/c/f"),
        ] {
            assert_eq!(left_out(pattern), out, "{pattern}");
        }
        assert_eq!(taken(&[], &["*"]), "");
    }

    #[test]
    fn includes_as_tar_does() {
        for (pattern, all) in [
            ("etc", "etc etc/foo.conf etc/passwd"),
            ("./etc/", "etc etc/foo.conf etc/passwd"),
            ("*foo*", "a/b/foo etc/foo.conf foo"),
            ("b", ""),
            ("./*/b", "a/b a/b/foo a/b/c a/b/c/f"),
            ("a?b", "a/b a/b/foo a/b/c a/b/c/f a[b"),
        ] {
            assert_eq!(taken(&[pattern], &[]), all, "{pattern}");
        }
        assert_eq!(taken(&["*"], &[]), PATHS.join(" "));
        assert_eq!(taken(&["."], &[]), PATHS.join(" "));
        assert_eq!(taken(&["etc", "a"], &["foo*", "c"]), "a a/b etc etc/passwd");
    }

    #[test]
    fn tells_what_fitted_nothing() {
        let select = Select::new(&["etc", "usr/lib*", "nope"], &[]);
        assert!(select.takes(b"etc/x") && select.takes(b"usr/lib64") && !select.takes(b"var"));
        assert_eq!(select.unused().collect::<Vec<_>>(), [b"nope"]);
    }

    #[test]
    fn whiteouts_go_with_what_they_hide() {
        let select = Select::new(&["etc/passwd"], &[]);
        for path in ["etc/.wh.passwd", ".wh.etc", "etc/.wh..wh..opq", ".wh..wh..opq"] {
            assert!(select.takes(path.as_bytes()), "{path}");
        }
        let select = Select::new(&[], &["doc"]);
        assert!(
            !select.takes(b"usr/.wh.doc") && !select.takes(b"usr/doc/.wh..wh..opq") && select.takes(b"usr/.wh.man")
        );
        assert!(!Select::new(&[], &[".wh.*"]).takes(b"usr/.wh.man"));
        assert!(select.unused().next().is_none() && !select.takes(b"doc") && select.takes(b""));
    }

    #[test]
    fn marks_tell_selections_apart() {
        assert_eq!(Select::default().mark(), None);
        let mark = |include: &[&str], exclude: &[&str]| Select::new(include, exclude).mark().unwrap();
        assert_eq!(mark(&["a"], &[]), mark(&["a"], &[]));
        assert_ne!(mark(&["a"], &[]), mark(&[], &["a"]));
        assert_ne!(mark(&["a", "b"], &[]), mark(&["a"], &["b"]));
    }
}
