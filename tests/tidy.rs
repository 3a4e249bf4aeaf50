//! The house rules as tests (CONTRIBUTING.md says them in words). They need nothing but Rust and read only this project.
//!
//! Each finding is one line, `file:line: what is wrong; what to do`.

#[path = "tidy/licence.rs"]
mod licence;
#[path = "tidy/privilege.rs"]
mod privilege;
#[path = "tidy/semantics.rs"]
mod semantics;
#[path = "tidy/source.rs"]
mod source;

use source::{File, files, root, rust_files};
use std::collections::BTreeSet;
use std::process::Command;

/// Fails with all findings at once.
#[track_caller]
fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} of the house's rules are broken:\n{}", findings.len(), findings.join("\n"));
}

/// One finding a line of code that `wrong` says something about.
fn each_line<'a>(
    files: impl IntoIterator<Item = &'a File>,
    code: impl Fn(&File) -> Vec<(usize, String)>,
    wrong: impl Fn(&str) -> Option<&'static str>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in code(file) {
            if let Some(remedy) = wrong(&line) {
                findings.push(format!("{}:{number}: `{}`: {remedy}", file.path, line.trim()));
            }
        }
    }
    findings
}

/// Whether `word` stands in `line` as a word of its own.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next()))
}

// --- arrows between crates ----------------------------------------------------------------------------------------------

/// What each crate of ours may depend on. A crate not named here is a new room: add it with its arrows, and to the
/// code map in ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("spec", &[]),
    ("sys", &[]),
    ("layer", &["spec", "sys"]),
    ("fusewire", &["sys"]),
    ("overlay", &["spec", "sys", "fusewire"]),
    ("runtime", &["spec", "sys"]),
    ("network", &["spec", "sys"]),
    ("store", &["spec", "sys"]),
    ("cli", &["spec", "sys"]),
    ("engine", &["spec", "sys", "store", "layer"]),
    ("testkit", &["spec", "sys"]),
    ("unpack", &["layer", "cli", "spec"]),
    ("ovl-mount", &["overlay", "cli", "spec"]),
    ("nsrun", &["runtime", "cli", "spec"]),
    ("netwire", &["network", "cli", "spec"]),
    ("ctr", &["engine", "store", "layer", "cli", "spec"]),
    ("benches", &["layer", "overlay"]),
    ("veneer", &["ctr", "netwire", "nsrun", "ovl-mount", "unpack"]),
];

/// What `cargo metadata` says, with `options`.
fn metadata(options: &[&str]) -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--offline", "--format-version", "1"])
        .args(options)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("cargo metadata prints JSON")
}

#[test]
fn arrows_between_crates_point_down() {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let Some((_, allowed)) = ARROWS.iter().find(|(n, _)| *n == name) else {
            findings.push(format!("{name}: not in ARROWS of tests/tidy.rs; add the room with its arrows"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("a name");
            let for_tests = dependency["kind"] == "dev";
            let fine = !ours.contains(to)
                || if for_tests { to == "testkit" || allowed.contains(&to) } else { allowed.contains(&to) };
            let root_test = for_tests && name == "veneer";
            if !(fine || root_test) {
                findings.push(format!(
                    "{name} → {to}: this arrow is not drawn in ARCHITECTURE.md; move the code, or pass the data"
                ));
            }
        }
    }
    none(findings);
}

#[test]
fn every_dependency_is_named_once_in_the_workspace() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|f| f.name() == "Cargo.toml") {
        let mut section = String::new();
        for (i, line) in file.text.lines().enumerate() {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
            } else if section.ends_with("dependencies")
                && section != "workspace.dependencies"
                && line.contains('=')
                && !line.contains("workspace = true")
            {
                findings.push(format!(
                    "{}:{}: `{line}`: name it in the root's [workspace.dependencies] and write `.workspace = true` here",
                    file.path,
                    i + 1
                ));
            }
        }
    }
    none(findings);
}

#[test]
fn every_crate_has_the_workspaces_lints() {
    let manifests: Vec<File> = files().into_iter().filter(|f| f.name() == "Cargo.toml").collect();
    let of = |path: &str| manifests.iter().find(|f| f.path == path).unwrap_or_else(|| panic!("no {path}"));
    let mut findings = Vec::new();
    for file in &manifests {
        if file.path != "lib/sys/Cargo.toml" && !file.text.contains("[lints]\nworkspace = true") {
            findings.push(format!("{}: no `[lints] workspace = true`; add it", file.path));
        }
    }
    // sys alone has a table of its own, because it alone has unsafe: everything else must be the workspace's.
    let sys = of("lib/sys/Cargo.toml");
    for (number, line) in
        of("Cargo.toml").text.lines().enumerate().skip_while(|(_, l)| !l.starts_with("[workspace.lints"))
    {
        if line.starts_with("[package]") {
            break;
        }
        let lint = line.contains(" = ") && !line.starts_with("unsafe_code");
        if lint && !sys.text.lines().any(|l| l == line) {
            findings.push(format!("lib/sys/Cargo.toml: lacks `{line}` of Cargo.toml:{}; add it", number + 1));
        }
    }
    if !sys.text.contains("undocumented_unsafe_blocks = \"deny\"") {
        findings.push("lib/sys/Cargo.toml: must deny clippy's undocumented_unsafe_blocks".into());
    }
    none(findings);
}

// --- files --------------------------------------------------------------------------------------------------------------

#[test]
fn a_file_is_one_noun_of_at_most_800_lines() {
    let mut findings = Vec::new();
    for file in rust_files() {
        let lines = file.text.lines().count();
        if lines > 800 {
            findings.push(format!("{}:{lines}: more than 800 lines; split it by noun into foo.rs and foo/", file.path));
        }
        let stem = file.name().trim_end_matches(".rs");
        if ["utils", "util", "common", "helpers", "helper", "misc", "types"].contains(&stem) {
            findings.push(format!("{}:1: `{stem}` says nothing; name the file after what is in it", file.path));
        }
        if stem == "mod" {
            findings.push(format!("{}:1: name it after its folder, beside it (foo.rs and foo/)", file.path));
        }
    }
    none(findings);
}

#[test]
fn every_module_starts_with_its_chapter() {
    let findings = rust_files().into_iter().filter(|f| !f.text.starts_with("//!")).map(|f| {
        format!(
            "{}:1: no `//!` head; say what it is, its invariants, and the kernel function or spec it leans on",
            f.path
        )
    });
    none(findings.collect());
}

#[test]
fn programs_are_thin() {
    let mut findings = Vec::new();
    for file in rust_files() {
        let most = match () {
            () if file.name() == "bin.rs" => 10,
            () if file.path == "src/main.rs" => 60,
            () => continue,
        };
        let lines = file.text.lines().count();
        if lines > most {
            findings
                .push(format!("{}:{lines}: more than {most} lines; put the code into the tool's library", file.path));
        }
    }
    none(findings);
}

#[test]
fn no_file_names_a_place_outside_the_project() {
    // In two halves, so that this file does not find itself.
    let shared = ["..", "/shared"].concat();
    let homes = ["/root/", "/home/", "/work/"].map(|d| ["file://", d].concat());
    let build = ["main", "wt", "targets", "shared"].map(|d| ["/work/", d].concat());
    let here = root().join("").to_str().expect("a plain path").to_owned();
    let mut findings = Vec::new();
    for file in files() {
        for (i, line) in file.text.lines().enumerate() {
            let outside = line.contains(&shared) || homes.iter().chain(&build).any(|p| line.contains(p.as_str()));
            if outside || line.contains(&here) && root().components().count() > 2 {
                findings.push(format!(
                    "{}:{}: names a place outside the project; take what is needed into tests/ or benches/",
                    file.path,
                    i + 1
                ));
            }
        }
    }
    none(findings);
}

// --- code ---------------------------------------------------------------------------------------------------------------

#[test]
fn unsafe_lives_in_sys_and_says_why_it_is_sound() {
    let files = rust_files();
    let (sys, others): (Vec<&File>, Vec<&File>) = files.iter().partition(|f| f.room() == "lib/sys");
    let mut findings = each_line(others, File::code, |line| {
        has_word(line, "unsafe").then_some("unsafe code belongs into lib/sys, wrapped so that callers need none")
    });
    for file in sys {
        let text: Vec<&str> = file.text.lines().collect();
        for (number, line) in file.code() {
            if !has_word(&line, "unsafe") || line.contains("unsafe extern") {
                continue;
            }
            let above = &text[number.saturating_sub(12)..number];
            if !above.iter().any(|l| l.contains("SAFETY:") || l.contains("# Safety")) {
                findings.push(format!(
                    "{}:{number}: unsafe without `// SAFETY:`; say which obligation it has and who meets it",
                    file.path
                ));
            }
        }
    }
    none(findings);
}

#[test]
fn nothing_prints_or_exits_past_cli() {
    let remedy = |line: &str| {
        let prints = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
        if prints.iter().any(|m| has_word(line, m.trim_end_matches('!')) && line.contains(&format!("{m}("))) {
            return Some("output goes through the crate cli");
        }
        if line.contains("process::exit(") {
            return Some("return an ExitCode from main, so that guards run");
        }
        ["set_var", "remove_var"]
            .iter()
            .any(|f| has_word(line, f))
            .then_some("the environment is shared by all threads; give the child its own through Command::env")
    };
    let files = rust_files();
    none(each_line(files.iter().filter(|f| f.name() != "build.rs"), File::code, remedy));
}

#[test]
fn no_test_is_ignored() {
    let files = rust_files();
    none(each_line(&files, File::code, |line| {
        let ignored = line.contains("#[ignore") || line.contains(", ignore)");
        ignored.then_some("gate it with testkit::need!, which CI turns into a failure")
    }));
}

/// A panic in the FUSE server hangs or fails every process in the mount; one in PID 1 ends the container.
#[test]
fn servers_and_pid_1_do_not_panic() {
    let wrong = |line: &str| {
        let ends = [".unwrap()", ".expect(", "panic!(", "unreachable!(", "assert!(", "assert_eq!("];
        let fine = line.contains("debug_assert") || !ends.iter().any(|e| line.contains(e));
        (!fine).then_some("return an error: this code is on the FUSE path or in PID 1")
    };
    let files = rust_files();
    let there = files.iter().filter(|f| {
        ["lib/overlay/src/", "lib/fusewire/src/", "lib/runtime/src/"].iter().any(|d| f.path.starts_with(d))
    });
    none(each_line(there.filter(|f| !f.is_unit_tests()), File::shipped_code, wrong));
}

#[test]
fn nothing_is_left_to_be_written() {
    let files = rust_files();
    none(each_line(&files, File::code, |line| {
        let open = line.contains("todo!(") || line.contains("unimplemented!(");
        open.then_some("write it, or give the caller an error")
    }));
}

/// Paths inside a root file system or a layer are hostile: these rooms open them only below a directory descriptor
/// (`openat2` with RESOLVE_IN_ROOT or RESOLVE_BENEATH). `std::fs::File`, the type, is an owned descriptor and fine.
#[test]
fn rooms_that_walk_foreign_trees_do_not_open_by_path() {
    const BY_DESCRIPTOR: &str = "open it below a directory descriptor that cannot be left (openat2)";
    let allowed = ["File", "FileType", "Metadata", "Permissions"];
    let wrong = |line: &str| {
        if has_word(line, "OpenOptions")
            || ["File::open(", "File::create(", "File::options("].iter().any(|f| line.contains(f))
        {
            return Some(BY_DESCRIPTOR);
        }
        let from_std = line.find("std::fs").map(|at| &line[at + "std::fs".len()..]);
        let named = match from_std {
            None => return use_of_fs_in_a_group(line).then_some(BY_DESCRIPTOR),
            Some(rest) => rest.strip_prefix("::").unwrap_or(""),
        };
        let names = named.split(['{', '}', ',', ';', ' ', ':', '(', '>', '<', ')', '&', '?', '[', ']']);
        let first = names.clone().find(|n| !n.is_empty()).unwrap_or("");
        let fine = if named.starts_with('{') {
            let group = &named[..named.find('}').unwrap_or(named.len())];
            group.trim_matches(['{', '}']).split(',').map(str::trim).all(|n| allowed.contains(&n))
        } else {
            allowed.contains(&first)
        };
        (!fine).then_some(BY_DESCRIPTOR)
    };
    let files = rust_files();
    let barred = files.iter().filter(|f| {
        ["lib/layer", "lib/overlay", "lib/runtime"].contains(&f.room())
            && f.path.contains("/src/")
            && !f.is_unit_tests()
    });
    none(each_line(barred, File::shipped_code, wrong));
}

/// `use std::{fs, io};` brings the whole module.
fn use_of_fs_in_a_group(line: &str) -> bool {
    let Some(group) = line.trim_start().strip_prefix("use std::{") else { return false };
    group.split([',', '}']).map(str::trim).any(|name| name == "fs" || name.starts_with("fs::"))
}

// --- documents ----------------------------------------------------------------------------------------------------------

/// The headings of a Markdown text as GitHub makes anchors of them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#').trim());
    let slug = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(slug).collect()
}

#[test]
fn links_between_documents_resolve() {
    let files = files();
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| f.path.ends_with(".md")) {
        let mut fenced = false;
        for (i, line) in file.text.lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            if fenced {
                continue;
            }
            for (at, _) in line.match_indices("](") {
                let link = &line[at + 2..];
                let link = &link[..link.find(')').unwrap_or(link.len())];
                if link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
                let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let target = root().join(folder).join(path);
                let inside =
                    target.canonicalize().is_ok_and(|t| t.starts_with(root().canonicalize().expect("the root")));
                let text =
                    if path.is_empty() { Some(file.text.clone()) } else { std::fs::read_to_string(&target).ok() };
                if !(path.is_empty() || inside) {
                    findings.push(format!(
                        "{}:{}: link to {link}: there is no such file in the project",
                        file.path,
                        i + 1
                    ));
                } else if !anchor.is_empty() && !text.is_some_and(|t| anchors(&t).contains(anchor)) {
                    findings.push(format!("{}:{}: link to {link}: there is no such heading", file.path, i + 1));
                }
            }
        }
    }
    none(findings);
}

/// Tests name the sentence of docs/contracts.md they hold up (`contract E4`); none may name one that is not there.
#[test]
fn contracts_that_tests_name_exist() {
    let contracts = std::fs::read_to_string(root().join("docs/contracts.md")).expect("docs/contracts.md");
    let known: BTreeSet<&str> = contracts
        .lines()
        .filter_map(|l| l.trim_start().strip_prefix("- **"))
        .filter_map(|l| l.split_once("**").map(|(number, _)| number))
        .collect();
    assert!(known.len() > 20, "docs/contracts.md numbers its sentences `- **E4** …`");
    let mut findings = Vec::new();
    for file in rust_files() {
        for (i, line) in file.text.lines().enumerate() {
            for (at, found) in line.match_indices("contract ") {
                let word: String = line[at + found.len()..]
                    .chars()
                    .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
                    .collect();
                let number = word.len() >= 2 && word.ends_with(|c: char| c.is_ascii_digit());
                if number && !known.contains(word.as_str()) {
                    findings.push(format!("{}:{}: no sentence {word} in docs/contracts.md", file.path, i + 1));
                }
            }
        }
    }
    none(findings);
}

#[test]
fn the_licence_is_said_everywhere() {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("packages");
    let wrong = packages.iter().filter(|p| p["license"] != "Apache-2.0 OR MIT");
    none(
        wrong
            .map(|p| format!("{}: license is not `Apache-2.0 OR MIT`; write license.workspace = true", p["name"]))
            .collect(),
    );
    for file in ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(root().join(file).is_file(), "{file} is missing");
    }
}

/// What is linked into the programs may be, by its licence: the list is deny.toml's.
#[test]
fn libraries_by_others_have_licences_we_accept() {
    let accepted = licence::accepted(&std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml"));
    assert!(accepted.len() > 3, "deny.toml lists licences in `allow = [...]` below [licenses]");
    // Only what this platform builds: sources of the rest need not be here.
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = metadata(&["--filter-platform", &host]);
    let packages = metadata["packages"].as_array().expect("packages");
    let wrong = packages.iter().filter_map(|p| {
        let expression = p["license"].as_str().unwrap_or("");
        let remedy = "not in deny.toml's list; take another library, or add it with the reason";
        (!licence::accepts(&accepted, expression)).then(|| format!("{}: licence `{expression}`: {remedy}", p["name"]))
    });
    none(wrong.collect());
}
