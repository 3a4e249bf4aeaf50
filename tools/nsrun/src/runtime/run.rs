//! The verbs, executed.

use super::cli::{Args, Create, Exec, Verb};
use super::log::Log;
use super::template;
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use runtime::Manager;
use runtime::container;
use runtime::create::Request;
use std::path::{Path, PathBuf};

/// Where state is kept when nobody says so.
fn default_root() -> PathBuf {
    if nix::unistd::geteuid().is_root() && nix::unistd::getuid().is_root() && !runtime::idmap::in_user_namespace() {
        return "/run/nsrun".into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if !dir.is_empty() => Path::new(&dir).join("nsrun"),
        _ => "/run/nsrun".into(),
    }
}

/// Executes one command line.
pub(crate) fn run(args: Args, log: &Log) -> Outcome {
    let root = args.root.clone().unwrap_or_else(default_root);
    let root = root.as_path();
    let cgroups = match args.cgroup_manager.as_deref() {
        Some("disabled") => Manager::Disabled,
        Some("systemd") => Manager::SystemdPaths,
        None if args.systemd_cgroup => Manager::SystemdPaths,
        Some("cgroupfs") | None => Manager::Folders,
        Some(other) => {
            return Err(Failure::new(format!("--cgroup-manager {other:?} is none of cgroupfs, systemd, disabled")));
        }
    };
    match args.verb {
        Verb::Create(create) => {
            let made = runtime::create::create(&request(root, create, cgroups));
            warn(log, made.map_err(|e| in_runcs_words("create", e))?);
            Ok(exit::DONE)
        }
        Verb::Run(run) => {
            let request = request(root, run.create, cgroups);
            let ended = runtime::run::run(&request, run.detach, run.keep).map_err(|e| in_runcs_words("run", e))?;
            warn(log, ended.warnings);
            Ok(ended.code)
        }
        Verb::Start(start) => {
            warn(log, container::start(root, &start.id)?);
            Ok(exit::DONE)
        }
        Verb::State(state) => {
            let shown = container::state(root, &state.id)?;
            print(&serde_json::to_string_pretty(&shown).unwrap_or_default())
        }
        Verb::Kill(kill) => {
            let signal =
                parse_signal(&kill.signal).ok_or_else(|| Failure::new(format!("unknown signal {:?}", kill.signal)))?;
            container::kill(root, &kill.id, signal, kill.all)?;
            Ok(exit::DONE)
        }
        Verb::Delete(delete) if delete.regex => {
            let hint = "nsrun list --quiet | grep -E PATTERN | xargs -n1 nsrun delete --force";
            Err(Failure::new("delete --regex: one container at a time, by its name").hint(hint))
        }
        Verb::Delete(delete) => {
            warn(log, container::delete(root, &delete.id, delete.force)?);
            Ok(exit::DONE)
        }
        Verb::List(list) => {
            let all = container::list(root)?;
            if list.quiet {
                return print_lines(all.iter().map(|c| c.id.clone()));
            }
            if list.format == "json" {
                return print(&serde_json::to_string(&all).unwrap_or_default());
            }
            let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
            rows.extend(all.into_iter().map(|c| {
                [c.id, c.pid.to_string(), c.status.to_owned(), c.bundle.display().to_string(), c.created, c.owner]
            }));
            print_lines(table(&rows))
        }
        Verb::Exec(exec) => {
            let ended = runtime::exec::exec(&exec_request(root, exec)?).map_err(|e| in_runcs_words("exec", e))?;
            warn(log, ended.warnings);
            Ok(ended.code)
        }
        Verb::Ps(ps) => {
            let pids = container::processes(root, &ps.id)?;
            if ps.format == "json" {
                return print(&serde_json::to_string(&pids).unwrap_or_default());
            }
            print_lines(of_ps(&pids, &ps.options)?)
        }
        Verb::Pause(pause) => {
            container::pause(root, &pause.id, true)?;
            Ok(exit::DONE)
        }
        Verb::Resume(resume) => {
            container::pause(root, &resume.id, false)?;
            Ok(exit::DONE)
        }
        Verb::Spec(spec) => {
            let ids = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
            let text =
                serde_json::to_string_pretty(&template::config(spec.rootless.then_some(ids))).unwrap_or_default();
            write_new(&spec.bundle.join("config.json"), &text)?;
            Ok(exit::DONE)
        }
        Verb::Features => print(&serde_json::to_string_pretty(&template::features()).unwrap_or_default()),
        Verb::Update(update) => {
            runtime::update::update(root, &update.id, &update.resources(super::update::read)?)?;
            Ok(exit::DONE)
        }
        Verb::Events(events) => super::events::run(root, &events),
        Verb::Checkpoint(_) => Err(unknown("checkpoint")),
        Verb::Restore(_) => Err(unknown("restore")),
    }
}

fn unknown(verb: &str) -> Failure {
    Failure::new(format!("{verb}: not done by this runtime, which saves no processes"))
        .hint("runc and crun do it where criu is installed")
}

/// A program that cannot be executed, in the words that engines show to their users.
fn in_runcs_words(verb: &str, error: runtime::Error) -> Failure {
    let executing = matches!(error.kind, runtime::Kind::NotFound | runtime::Kind::CannotExecute) && error.op == "exec";
    let mut failure = Failure::from(error);
    if executing && let Some(rest) = failure.message.strip_prefix("exec ") {
        failure.message = format!("{verb} failed: unable to start container process: exec: {rest}");
    } else if failure.message.starts_with("chdir to cwd") {
        failure.message = format!("{verb} failed: unable to start container process: {}", failure.message);
    }
    failure
}

fn request(root: &Path, create: Create, cgroups: Manager) -> Request {
    Request {
        root: root.to_owned(),
        id: create.id,
        bundle: create.bundle,
        console_socket: create.console_socket,
        pid_file: create.pid_file,
        preserve_fds: create.preserve_fds,
        cgroups,
        own_keyring: !create.no_new_keyring,
    }
}

fn exec_request(root: &Path, exec: Exec) -> Result<runtime::exec::Request, Failure> {
    let user = exec.user.as_deref().map(|text| {
        let (uid, gid) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
        let number = |n: &str| n.parse::<u32>().map_err(|_| Failure::new(format!("--user {text}: not UID[:GID]")));
        Ok::<_, Failure>((number(uid)?, gid.map(number).transpose()?))
    });
    let capability = |name: &String| {
        spec::capability::from_name(name).ok_or_else(|| Failure::new(format!("--cap {name}: unknown capability")))
    };
    let changes = runtime::exec::Changes {
        process: exec.process,
        args: exec.command,
        env: exec.env,
        cwd: exec.cwd,
        terminal: exec.tty,
        user: user.transpose()?,
        groups: exec.additional_gids,
        capabilities: exec.cap.iter().map(capability).collect::<Result<_, _>>()?,
        no_new_privs: exec.no_new_privs,
        apparmor: exec.apparmor,
        label: exec.process_label,
    };
    Ok(runtime::exec::Request {
        root: root.to_owned(),
        id: exec.id,
        changes,
        console_socket: exec.console_socket,
        pid_file: exec.pid_file,
        detach: exec.detach,
        preserve_fds: exec.preserve_fds,
        cgroup: exec.cgroup,
        ignore_paused: exec.ignore_paused,
    })
}

/// The lines of ps(1) about these processes, with its head.
fn of_ps(pids: &[i32], options: &[String]) -> Result<Vec<String>, Failure> {
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default } else { options };
    let ran = std::process::Command::new("ps").args(options).output();
    let output = ran.map_err(|e| Failure::new(format!("execute ps: {e}")))?;
    if !output.status.success() {
        return Err(Failure::new(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default().to_owned();
    let column = head.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Failure::new("ps: its output has no column PID"))?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    let rows: Vec<String> = lines.filter(ours).map(str::to_owned).collect();
    Ok(std::iter::once(head).chain(rows).collect())
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let open = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let written = open.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| Failure::new(format!("write {}: {e}", path.display())))
}

/// In the log where there is one; else on stderr, which with `create` may be the container's own.
fn warn(log: &Log, warnings: Vec<runtime::Error>) {
    for warning in warnings {
        if log.is_kept() {
            log.warning(&warning.to_string());
        } else {
            output::complain("nsrun", &format!("warning: {warning}"));
        }
    }
}

fn print(text: &str) -> Outcome {
    print_lines([text.to_owned()])
}

fn print_lines(lines: impl IntoIterator<Item = String>) -> Outcome {
    let mut all = String::new();
    for line in lines {
        all.push_str(&line);
        all.push('\n');
    }
    match output::write(all.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(format!("write to stdout: {e}"))),
        _ => Ok(exit::DONE),
    }
}

/// Rows with their columns aligned.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A signal by name (with or without SIG, any case) or number.
pub(crate) fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    for (start, base, sign) in [("RTMIN", 34, 1), ("RTMAX", 64, -1)] {
        if let Some(rest) = name.strip_prefix(start) {
            let offset = if rest.is_empty() { 0 } else { rest.trim_start_matches(['+', '-']).parse::<i32>().ok()? };
            return Some(base + sign * offset).filter(|n| (34..=64).contains(n));
        }
    }
    format!("SIG{name}").parse::<nix::sys::signal::Signal>().ok().map(|s| s as i32)
}

#[cfg(test)]
mod tests {
    use super::{parse_signal, table};

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in
            [("KILL", 9), ("SIGTERM", 15), ("term", 15), ("9", 9), ("RTMIN+2", 36), ("SIGRTMAX", 64), ("RTMAX-1", 63)]
        {
            assert_eq!(parse_signal(text), Some(number), "{text}");
        }
        assert_eq!((parse_signal("NONE"), parse_signal("65"), parse_signal("-1")), (None, None, None));
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bb"].map(str::to_owned), ["ccc", "d"].map(str::to_owned)];
        assert_eq!(table(&rows), ["a     bb", "ccc   d"]);
    }
}
