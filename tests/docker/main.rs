//! `alias docker=ctr`: command lines with what docker's client and dockerd did with them (`lines/`, recorded by `record.sh`, never
//! written from what `ctr` does), run with `ctr` as `docker`: as root, as an ordinary user, and with the FUSE driver.
//!
//! What is known to be different stands beside the line with a key, and the key with its reason in docs/compat.md. A difference that is
//! not there fails, and so does one that has gone.
//!
//! `DOCKER_LINES=ps,run/rm cargo test --test docker` runs the sections whose `file/name` begins with one of these; `DOCKER_OPEN=1` also
//! tells of the differences whose key is `open`, which are to go; `DOCKER_ACCEPT=KEY` writes each difference beside its line, with this key.

mod lines;
mod normal;
mod session;

use lines::{Difference, Effect, Line, Recorded, Section};
use session::Mode;
use std::collections::BTreeSet;
use std::sync::Mutex;
use testkit::need;

/// The key of a difference that is to go.
const OPEN: &str = "open";

#[test]
fn as_root() {
    need!(root, overlay, netns, images, user, cgroup1);
    alike(Mode::Root);
}

#[test]
fn without_root() {
    need!(root, user, userns, fuse, images);
    alike(Mode::Rootless);
}

#[test]
fn by_fuse() {
    need!(root, fuse, netns, images, user, cgroup1);
    alike(Mode::Fuse);
}

/// Writes what the reference does into the files; `tests/docker/record.sh` has started it; else it does nothing.
#[test]
fn record() {
    let Ok(engine) = std::env::var("DOCKER_RECORD") else { return };
    for mut file in lines::all() {
        let verb = file.verb().to_owned();
        let mut changed = false;
        for section in &mut file.sections {
            if section.is("written") || section.is("podman") != (engine == "podman") || !wanted(&verb, section) {
                continue;
            }
            match session::run(section, Mode::Reference) {
                Ok(effects) => {
                    for (line, effect) in section.lines_mut().zip(effects) {
                        if !line.attributes.iter().any(|a| a == "written") {
                            line.expected = effect;
                            if line.attributes.iter().any(|a| a == "columns") {
                                line.expected.out = normal::columns(&line.expected.out);
                            }
                        }
                    }
                    changed = true;
                }
                Err(why) => say(&format!("{verb}/{}: {why}", section.name)),
            }
        }
        if changed {
            file.save();
        }
    }
}

/// Whether `DOCKER_LINES` asks for this section, or for all.
fn wanted(verb: &str, section: &Section) -> bool {
    let name = format!("{verb}/{}", section.name);
    std::env::var("DOCKER_LINES").map_or(true, |list| list.split(',').any(|start| name.starts_with(start)))
}

/// Whether `section` is run in this mode. In the long form (`DOCKER_LONG`) all are, in every mode.
fn runs(verb: &str, section: &Section, mode: Mode) -> bool {
    let long = std::env::var_os("DOCKER_LONG").is_some();
    let repeated = mode != Mode::Root && section.is("once");
    wanted(verb, section)
        && (long || !section.is("long") && !repeated)
        && !(mode == Mode::Rootless && section.is("root"))
}

/// Runs every line in this mode and fails with all that are not as recorded and not known.
#[track_caller]
fn alike(mode: Mode) {
    let accept = std::env::var("DOCKER_ACCEPT").ok();
    let files = Mutex::new(lines::all());
    let mut work: Vec<(usize, usize)> = Vec::new();
    for (f, file) in files.lock().expect("not poisoned").iter().enumerate() {
        let sections = file.sections.iter().enumerate();
        work.extend(sections.filter(|(_, s)| runs(file.verb(), s, mode)).map(|(s, _)| (f, s)));
    }
    let (work, wrong) = (Mutex::new(work), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((f, s)) = { work.lock().expect("not poisoned").pop() } {
                    let section = files.lock().expect("not poisoned")[f].sections[s].clone();
                    let done = session::run(&section, mode);
                    let mut files = files.lock().expect("not poisoned");
                    let found = judge(&mut files[f], s, done, mode, accept.as_deref());
                    wrong.lock().expect("not poisoned").extend(found);
                }
            });
        }
    });
    if accept.is_some() {
        files.lock().expect("not poisoned").iter().for_each(Recorded::save);
    }
    let mut wrong = wrong.into_inner().expect("not poisoned");
    wrong.sort();
    assert!(wrong.is_empty(), "{} lines are not as docker's ({}):\n{}", wrong.len(), mode.name(), wrong.join("\n"));
}

/// What is wrong with a section that did this; with a key to accept, what is wrong becomes a known difference.
fn judge(
    file: &mut Recorded,
    s: usize,
    done: Result<Vec<Effect>, String>,
    mode: Mode,
    accept: Option<&str>,
) -> Vec<String> {
    let verb = file.verb().to_owned();
    let section = &mut file.sections[s];
    let name = format!("{verb}/{}", section.name);
    let whole = format!("{OPEN} {}", mode.name());
    if section.is(&whole) {
        return Vec::new();
    }
    let effects = match done {
        Ok(effects) => effects,
        Err(_) if accept.is_some() => {
            section.parts.insert(0, lines::Part::Attribute(whole));
            return Vec::new();
        }
        Err(why) => return vec![format!("{name}: {why}")],
    };
    let marks: Vec<String> =
        ["columns", "sorted", "any-error"].into_iter().filter(|a| section.is(a)).map(str::to_owned).collect();
    let mut wrong = Vec::new();
    for (line, effect) in section.lines_mut().zip(effects) {
        if mode == Mode::Rootless && line.attributes.iter().any(|a| a == "root") {
            continue;
        }
        let Some(why) = verdict(line, &marks, &effect, mode) else { continue };
        match accept {
            Some(key) => {
                let ours = compared(line, &marks, &effect);
                line.differences.retain(|d| d.mode.as_deref() != mode_of(mode).as_deref());
                if ours != compared(line, &marks, &line.expected) {
                    line.differences.push(Difference { key: key.to_owned(), mode: mode_of(mode), ours });
                }
            }
            None => wrong.push(format!("{name}: $ {}\n{why}", line.text)),
        }
    }
    wrong
}

/// The mode that an accepted difference names: as root is how it is first looked at, so what is found there holds everywhere.
fn mode_of(mode: Mode) -> Option<String> {
    (mode != Mode::Root).then(|| mode.name().to_owned())
}

/// What counts of an effect.
fn compared(line: &Line, marks: &[String], effect: &Effect) -> Effect {
    let is = |attribute: &str| marks.iter().chain(&line.attributes).any(|a| a == attribute);
    let (mut out, mut err) = (effect.out.clone(), normal::message(&effect.err));
    if is("columns") {
        out = normal::columns(&out);
    }
    if is("sorted") {
        (out, err) = (normal::sorted(&out), normal::sorted(&err));
    }
    if is("any-error") {
        err = if err.is_empty() { String::new() } else { "some\n".into() };
    }
    Effect { code: effect.code, out, err }
}

/// What is wrong with this effect.
fn verdict(line: &Line, marks: &[String], effect: &Effect, mode: Mode) -> Option<String> {
    let (ours, docker) = (compared(line, marks, effect), compared(line, marks, &line.expected));
    let here = |d: &&Difference| d.mode.as_deref() == Some(mode.name());
    let known = line.differences.iter().find(here).or_else(|| line.differences.iter().find(|d| d.mode.is_none()));
    match known {
        // of what is open nothing is held but that it is said
        Some(known) if known.key == OPEN && std::env::var_os("DOCKER_OPEN").is_none() => None,
        Some(known) if ours == docker => Some(format!("  the difference `{}` has gone: delete it", known.key)),
        Some(known) if ours == known.ours => None,
        Some(known) => Some(differ("docker", &docker, "known", &known.ours, &ours)),
        None if ours == docker => None,
        None => Some(differ("docker", &docker, "", &Effect::default(), &ours)),
    }
}

fn differ(first: &str, docker: &Effect, second: &str, known: &Effect, ours: &Effect) -> String {
    let part = |who: &str, effect: &Effect| {
        let lines = |mark: &str, text: &str| text.lines().map(|l| format!("    {mark} {l}\n")).collect::<String>();
        format!("  {who}: {}\n{}{}", effect.code, lines("1>", &effect.out), lines("2>", &effect.err))
    };
    let known = if second.is_empty() { String::new() } else { part(second, known) };
    format!("{}{known}{}", part(first, docker), part("ours", ours))
}

/// One line to whoever records.
fn say(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
}

/// Each key of a known difference has its reason in docs/compat.md, as a row that begins with it, and each such row is in use.
#[test]
fn every_difference_has_its_reason() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compat.md")).unwrap_or_default();
    let part = text.split_once("\n## Lines that differ\n").map_or("", |(_, part)| part);
    let part = part.split("\n## ").next().unwrap_or_default();
    let rows: BTreeSet<&str> = part.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    let files = lines::all();
    let all = files.iter().flat_map(|f| &f.sections).flat_map(Section::lines).flat_map(|l| &l.differences);
    let keys: BTreeSet<&str> = all.map(|d| d.key.as_str()).collect();
    assert_eq!(keys, rows, "keys in tests/docker/lines, then rows of docs/compat.md");
}

/// The verbs that docker or podman has, management words left out where the verb alone is the same.
const VERBS: [&str; 44] = [
    "attach",
    "commit",
    "container inspect",
    "container prune",
    "cp",
    "create",
    "diff",
    "events",
    "exec",
    "export",
    "healthcheck run",
    "history",
    "image inspect",
    "image prune",
    "images",
    "import",
    "info",
    "inspect",
    "kill",
    "load",
    "logs",
    "mount",
    "pause",
    "port",
    "ps",
    "rename",
    "restart",
    "rm",
    "rmi",
    "run",
    "save",
    "secret",
    "start",
    "stats",
    "stop",
    "system df",
    "system prune",
    "tag",
    "top",
    "umount",
    "unpause",
    "update",
    "version",
    "wait",
];

/// The measure: enough lines, a third of them about what goes wrong; of each verb at least five, two of them about that.
#[test]
fn there_are_enough_lines() {
    let files = lines::all();
    let all: Vec<&Line> = files.iter().flat_map(|f| &f.sections).flat_map(Section::lines).collect();
    let count = |lines: &[&Line]| (lines.len(), lines.iter().filter(|l| l.expected.code != 0).count());
    let (whole, errors) = count(&all);
    assert!(whole >= 150 && errors * 3 >= whole, "{whole} lines, {errors} of them errors");
    for verb in VERBS {
        let calls = |text: &str| {
            let called = |name: &str| format!("{text} ").contains(&format!("{name} {verb} "));
            ["docker", "podman", "docker container", "podman container", "docker image"].iter().any(|name| called(name))
        };
        let of: Vec<&Line> = all.iter().filter(|l| calls(&l.text)).copied().collect();
        let (lines, errors) = count(&of);
        assert!(lines >= 5 && errors >= 2, "{verb}: {lines} lines, {errors} of them errors");
    }
}
