//! `top`: the processes of a container, as the machine's `ps` lists them.
//!
//! Which processes are a container's the OCI runtime knows (`ps --format json`); how they look is for `ps` to say, with
//! whatever options the user gives it (docker: `daemon/top_unix.go`).

use super::{Asked, Site, conflict, not_running};
use crate::tools::Tools;
use crate::{Error, Kind, Result, events, execute};
use std::process::Command;
use store::{Record, Status};

/// A table of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What stands over the columns.
    pub titles: Vec<String>,
    /// A line each, as many fields as titles.
    pub rows: Vec<Vec<String>>,
}

/// The processes of a container that runs; `options` are `ps`'s, `-ef` where there are none.
pub fn top(site: Site<'_>, record: &Record, options: &[String]) -> Result<Listing> {
    let id = &record.id;
    check(options)?;
    match super::state(site.root, id)?.status {
        Status::Running | Status::Paused => {}
        Status::Restarting => {
            return Err(conflict(format!("Container {id} is restarting, wait until the container is running")));
        }
        _ => return Err(not_running(id)),
    }
    let tools = Tools::new(&Asked::of(record)?.request.programs, site.own.to_owned());
    let mut command = execute::runtime(&tools, &site.place.runtime());
    command.args(["ps", "--format", "json", id.as_str()]);
    let pids: Vec<i32> = serde_json::from_slice(&execute::run(command, "runtime ps")?)
        .map_err(|e| Error::new(Kind::Failed, "runtime ps", id.short()).because(e))?;
    let listing = parse(&list(options, &pids)?, &pids)?;
    events::container(site.root, record, "top", &[]);
    Ok(listing)
}

/// docker: `-o x=PID` would give another column the title that the pids are found by.
fn check(options: &[String]) -> Result<()> {
    for option in options.join(" ").split(|c: char| c.is_ascii_whitespace() || c == ',') {
        if let Some((column, title)) = option.split_once('=')
            && title.starts_with("PID")
            && column != "pid"
        {
            return Err(conflict(format!("specifying \"{column}={title}\" is not allowed")));
        }
    }
    Ok(())
}

/// What `ps` prints: of these processes where its options allow that, else of all.
fn list(options: &[String], pids: &[i32]) -> Result<String> {
    let usual = ["-ef".to_owned()];
    let options = if options.is_empty() { &usual } else { options };
    // one word may hold several options, as docker hands them on
    let words: Vec<&str> = options.iter().flat_map(|o| o.split(' ')).collect();
    let chosen: Vec<String> = pids.iter().map(ToString::to_string).collect();
    let run = |more: Option<String>| Command::new("ps").args(&words).args(more).output();
    let fail = |e: std::io::Error| Error::new(Kind::Failed, "execute", "ps").because(e).hint("install procps");
    let first = run(Some(format!("-q{}", chosen.join(",")))).map_err(fail)?;
    let output = if first.status.success() { first } else { run(None).map_err(fail)? };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().next().unwrap_or("it failed").to_owned();
        return Err(
            conflict(format!("ps: {line}")).hint("what stands behind the container's name are options of ps(1)")
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lines of these processes; the last column takes what is left of a line.
fn parse(text: &str, pids: &[i32]) -> Result<Listing> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines.next().unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    let at = titles.iter().position(|title| title == "PID");
    let at =
        at.ok_or_else(|| conflict("Couldn't find PID field in ps output").hint("pid has to be one of the columns"))?;
    let mut rows = Vec::new();
    let mut before_was_ours = false;
    for fields in lines.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>()) {
        let Some(pid) = fields.get(at) else { continue };
        // A thread's line, below that of its process.
        let ours = match *pid {
            "-" => before_was_ours,
            number => match number.parse::<i32>() {
                Ok(number) => pids.contains(&number),
                Err(e) => return Err(conflict(format!("Unexpected pid '{number}': {e}"))),
            },
        };
        before_was_ours = ours;
        if ours {
            let last = titles.len() - 1;
            let mut row: Vec<String> = fields.iter().take(last).map(|f| (*f).to_owned()).collect();
            row.push(fields.get(last..).unwrap_or_default().join(" "));
            rows.push(row);
        }
    }
    Ok(Listing { titles, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_its_processes_only_and_the_last_column_whole() {
        let text = "UID PID CMD\nroot 1 /sbin/init x\nme 7 sleep 10 20\nme - -\nme 8 a\n";
        let listing = parse(text, &[7]).unwrap();
        assert_eq!(listing.titles, ["UID", "PID", "CMD"]);
        assert_eq!(listing.rows, [["me", "7", "sleep 10 20"], ["me", "-", "-"]]);
        assert_eq!(parse("CMD\nx\n", &[7]).unwrap_err().to_string(), "Couldn't find PID field in ps output");
        assert!(check(&["-o".into(), "pid=PID,cmd".into()]).is_ok());
        let why = check(&["-o".into(), "pid,cmd=PID".into()]).unwrap_err().to_string();
        assert_eq!(why, "specifying \"cmd=PID\" is not allowed");
    }
}
