//! A plan as a shell script that stands alone: `ctr run --explain`.
//!
//! The script needs the single tools and a POSIX shell, no `ctr` and no store it could write to. It re-enters itself
//! in namespaces of its own first, so that it leaves no mount behind whatever happens to it.

use crate::plan::{Action, Command, Names, Plan};
use crate::text::Text;
use crate::tools::{Tool, Tools};
use std::fmt::Write as _;

/// Prints `plan`; `title` is the command line it stands for.
pub fn print(plan: &Plan, tools: &Tools, title: &str) -> String {
    let mut body = String::new();
    let mut undo: Vec<String> = Vec::new();
    let (mut wires, mut serves) = (0, false);
    body.push_str("exec 3<&-\n");
    body.push_str("tmp=$(mktemp -d)\nundo() { rm -rf \"$tmp\"; }\ntrap undo EXIT\n");
    body.push_str("trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM\n");
    for step in &plan.steps {
        if !step.why.is_empty() {
            let _ = writeln!(body, "\n# {}", step.why);
        }
        match &step.action {
            Action::Folders(paths) => {
                let words: Vec<String> = paths.iter().map(Text::shell_word).collect();
                let _ = writeln!(body, "mkdir -p {}", words.join(" "));
            }
            Action::File { path, content } => body.push_str(&file(path, content)),
            Action::Mark(path) => {
                let path = path.shell_word();
                let _ = writeln!(body, ": >{path}\nchmod 755 {path}");
            }
            Action::Own { paths, owner } => {
                let words: Vec<String> = paths.iter().map(Text::shell_word).collect();
                let _ = writeln!(body, "chown -hR {}:{} {}", owner.0, owner.1, words.join(" "));
            }
            Action::Secret { path, content, owner, mode } => {
                let path = path.shell_word();
                let octal: String = content.iter().map(|byte| format!("\\{byte:03o}")).collect();
                let _ = writeln!(body, "(umask 077; printf '{octal}' >{path})");
                let _ = writeln!(body, "chown {}:{} {path}; chmod {mode:o} {path}", owner.0, owner.1);
            }
            Action::Names(names) => body.push_str(&derive(names)),
            Action::Run(run) => {
                let mut line = command(run, tools);
                if run.until_eof {
                    // what it leaves behind ends when nobody holds the fifo for writing any more: when we end
                    body.push_str("mkfifo \"$tmp/alive\"\nexec 4<>\"$tmp/alive\"\n");
                    line.push_str(" <\"$tmp/alive\" 4>&-");
                }
                let _ = match (run.wire, wires) {
                    (false, _) => writeln!(body, "{line}"),
                    (true, 0) => writeln!(body, "wire=$({line})"),
                    (true, _) => writeln!(body, "more=$({line})\nwire=\"$wire\n$more\""),
                };
                wires += usize::from(run.wire);
                serves |= run.until_eof;
            }
        }
        if let Some(command_back) = &step.undo {
            // as in the plan, the last step is taken back first; one that fails does not keep the others
            undo.push(format!("{} || :", command(command_back, tools)));
            let mut lines: Vec<&str> = undo.iter().rev().map(String::as_str).collect();
            lines.push("rm -rf \"$tmp\"");
            let _ = writeln!(body, "undo() {{\n  {}\n}}", lines.join("\n  "));
        }
    }
    body.push_str("\n# the container\ncode=0\n");
    let run = Command {
        tool: Tool::Runtime,
        env: Vec::new(),
        words: vec![
            "--root".into(),
            Text::tmp("state"),
            "run".into(),
            "--bundle".into(),
            Text::tmp("bundle"),
            plan.id.as_str().into(),
        ],
        wire: false,
        until_eof: false,
    };
    let input = if plan.interactive { "" } else { " </dev/null" };
    let closed = if serves { " 4>&-" } else { "" };
    let _ = writeln!(body, "{}{input}{closed} || code=$?\nexit $code", command(&run, tools));

    let mut outer = plan.outer.join(" ");
    for word in &plan.shared {
        let _ = write!(outer, " {}", word.shell_word());
    }
    let mut end = String::from("VENEER");
    while body.lines().any(|line| line == end) {
        end.push('_');
    }
    format!(
        "#!/bin/sh\n# {title}\n\
         # A mount namespace of our own: nothing mounted below is seen outside, and all of it goes when we go.\n\
         exec {} {outer} -- sh -eu /dev/fd/3 3<<'{end}'\n{body}{end}\n",
        tools.name(Tool::Nsrun)
    )
}

/// The members of netwire's lines that are needed, without a program that reads JSON: lists of texts, none of which holds a
/// quote or a comma.
fn derive(names: &Names) -> String {
    let list = |member: &str| {
        let sed = format!(r#"sed -n 's/.*"{member}":\[\([^]]*\).*/\1/p'"#);
        format!(r#"$(printf '%s\n' "$wire" | {sed} | tr -d '"' | tr , ' ')"#)
    };
    let word = |text: &str| Text::plain(text.trim_end()).shell_word();
    let mut out = format!("addresses={}\n[ \"$addresses\" ]\n", list("addresses"));
    let line = format!(r#"printf '%s\t%s\n' "${{a%/*}}" {}"#, word(&names.names));
    let _ = writeln!(out, "hosts=$(for a in $addresses; do {line}; done)");
    let _ = writeln!(out, "dns={}", list("dns"));
    let _ = writeln!(out, "resolver={}", word(&names.resolver.without));
    let mut own = r"printf 'nameserver %s\n' $dns".to_owned();
    if !names.resolver.behind_own.is_empty() {
        let _ = write!(own, r"; printf '%s\n' {}", word(&names.resolver.behind_own));
    }
    let _ = writeln!(out, "[ -z \"$dns\" ] || resolver=$({own})");
    if names.gateway {
        let first = r#"sed -n '1s/.*"gateway":"\([^"]*\).*/\1/p'"#;
        let _ = writeln!(out, r#"gateway=$(printf '%s\n' "$wire" | {first})"#);
    }
    out
}

fn command(command: &Command, tools: &Tools) -> String {
    let mut line = String::new();
    for (name, value) in &command.env {
        let _ = write!(line, "{name}={} ", Text::plain(value).shell_word());
    }
    line.push_str(&Text::plain(&tools.name(command.tool)).shell_word());
    for word in &command.words {
        let _ = write!(line, " {}", word.shell_word());
    }
    line
}

fn file(path: &Text, content: &Text) -> String {
    let text = content.here_document();
    if text.is_empty() {
        return format!(": >{}\n", path.shell_word());
    }
    let mut end = String::from("END");
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    format!("cat >{} <<{end}\n{text}{newline}{end}\n", path.shell_word())
}
