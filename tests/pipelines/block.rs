//! Finding the `sh` blocks in the documents.

use std::path::Path;

/// One `sh` block.
#[derive(Debug)]
pub(crate) struct Block {
    /// `file:line` of its first line.
    pub(crate) place: String,
    /// What it is run as; `None` where nothing above it says so, empty where it is not run.
    pub(crate) runs: Option<Vec<String>>,
    /// The commands.
    pub(crate) script: String,
    /// What the `text` block right below it holds.
    pub(crate) prints: Option<String>,
}

impl Block {
    /// Whether it is run as `mode`.
    pub(crate) fn is_for(&self, mode: &str) -> bool {
        self.runs.as_ref().is_some_and(|runs| runs.iter().any(|r| r == mode))
    }
}

/// All blocks of the documents that promise to be run.
pub(crate) fn all() -> Vec<Block> {
    ["README.md", "docs/recipes.md", "docs/unpack.md"].into_iter().flat_map(of).collect()
}

fn of(document: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).expect("the document");
    parse(document, &text)
}

fn parse(document: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut marker: Option<Vec<String>> = None;
    let mut lines = text.lines().enumerate();
    let mut follows_block = false;
    while let Some((i, line)) = lines.next() {
        if let Some(runs) = marked(line, "run:") {
            marker = Some(runs.split_whitespace().map(str::to_owned).collect());
        } else if marked(line, "not run:").is_some() {
            marker = Some(Vec::new());
        } else if let Some(language) = line.strip_prefix("```") {
            let body: String =
                lines.by_ref().map(|(_, l)| l).take_while(|l| *l != "```").flat_map(|l| [l, "\n"]).collect();
            match language {
                "sh" => blocks.push(Block {
                    place: format!("{document}:{}", i + 2),
                    runs: marker.take(),
                    script: body,
                    prints: None,
                }),
                "text" if follows_block => blocks.last_mut().expect("a block above").prints = Some(body),
                _ => {}
            }
            follows_block = language == "sh";
            continue;
        }
        follows_block &= line.is_empty();
    }
    blocks
}

fn marked<'a>(line: &'a str, what: &str) -> Option<&'a str> {
    line.strip_prefix("<!-- ")?.strip_prefix(what)?.strip_suffix("-->").map(str::trim)
}

#[test]
fn a_block_has_its_marker_and_its_output() {
    let text = "x\n<!-- run: root/fuse user/fuse -->\n```sh\na\nb\n```\n```text\nc\n```\n\n<!-- not run: no -->\n```sh\nd\n```\nprose\n```text\ne\n```\n```sh\nf\n```\n";
    let blocks = parse("doc", text);
    assert_eq!(blocks.len(), 3);
    assert_eq!((blocks[0].script.as_str(), blocks[0].prints.as_deref()), ("a\nb\n", Some("c\n")));
    assert!(blocks[0].is_for("user/fuse") && !blocks[0].is_for("root/kernel"));
    assert_eq!((blocks[1].runs.as_deref(), blocks[1].prints.as_deref()), (Some(&[][..]), None));
    assert_eq!((blocks[2].runs.as_deref(), blocks[2].place.as_str()), (None, "doc:20"));
}
