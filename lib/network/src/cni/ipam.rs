//! Addresses from whoever the configuration names: delegation (SPEC.md, section 4).
//!
//! Nobody named: nothing to give back, to check or to forget. A type that we know works in this process. Any other is executed from `CNI_PATH` with the environment and the very
//! configuration that we were given; its stderr is ours.

use super::call::Call;
use super::plugin::{self, Plugin};
use super::request::Command;
use serde_json::Value;
use spec::cni::failure::code;
use spec::cni::{Attachment, Failure, Success};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

/// Who gives addresses.
enum Delegate {
    Nobody,
    Known(&'static dyn Plugin),
    Program,
}

fn delegate(call: &Call<'_>) -> Delegate {
    match plugin::of(&call.configuration.ipam) {
        Some(plugin) => Delegate::Known(plugin),
        None if call.configuration.ipam.is_empty() => Delegate::Nobody,
        None => Delegate::Program,
    }
}

/// Asks for addresses. Where that fails the delegate is told to forget what it may have begun.
pub(super) fn add(call: &Call<'_>) -> Result<Success, Failure> {
    let done = match delegate(call) {
        Delegate::Known(plugin) => plugin.add(call),
        Delegate::Nobody | Delegate::Program => execute(call, Command::Add).and_then(|answer| read(call, &answer)),
    };
    let result = done.and_then(|result| match result.ips.is_empty() {
        true => Err(Failure::new(code::INTERNAL, "IPAM plugin returned missing IP config")),
        false => Ok(result),
    });
    result.inspect_err(|_| drop(del(call)))
}

/// Gives addresses back.
pub(super) fn del(call: &Call<'_>) -> Result<(), Failure> {
    match delegate(call) {
        Delegate::Nobody => Ok(()),
        Delegate::Known(plugin) => plugin.del(call),
        Delegate::Program => execute(call, Command::Del).map(drop),
    }
}

/// Whether the addresses are still given.
pub(super) fn check(call: &Call<'_>) -> Result<(), Failure> {
    match delegate(call) {
        Delegate::Nobody => Ok(()),
        Delegate::Known(plugin) => plugin.check(call),
        Delegate::Program => execute(call, Command::Check).map(drop),
    }
}

/// Whether there would be addresses.
pub(super) fn status(call: &Call<'_>) -> Result<(), Failure> {
    match delegate(call) {
        Delegate::Nobody => Ok(()),
        Delegate::Known(plugin) => plugin.status(call),
        Delegate::Program => execute(call, Command::Status).map(drop),
    }
}

/// Forgets addresses of attachments that are none of `valid`.
pub(super) fn gc(call: &Call<'_>, valid: &[Attachment]) -> Result<(), Failure> {
    match delegate(call) {
        Delegate::Nobody => Ok(()),
        Delegate::Known(plugin) => plugin.gc(call, valid),
        Delegate::Program => execute(call, Command::Gc).map(drop),
    }
}

fn read(call: &Call<'_>, answer: &[u8]) -> Result<Success, Failure> {
    let wrong = |why: String| {
        Failure::new(code::DECODING, format!("result of IPAM plugin {:?}: {why}", call.configuration.ipam))
    };
    let value: Value = serde_json::from_slice(answer).map_err(|e| wrong(e.to_string()))?;
    Success::read(&value, call.version).map_err(wrong)
}

/// Runs the delegate and gives its stdout.
fn execute(call: &Call<'_>, command: Command) -> Result<Vec<u8>, Failure> {
    let kind = &call.configuration.ipam;
    let failed = |why: String| Failure::new(code::INTERNAL, why);
    let program = find(&call.request.path, kind)
        .ok_or_else(|| failed(format!("failed to find plugin {kind:?} in path {:?}", call.request.path)))?;
    let input = serde_json::to_vec(&call.configuration.document).map_err(|e| failed(e.to_string()))?;
    let wrong = |e: std::io::Error| failed(format!("execute {}: {e}", program.display()));
    let mut child = Process::new(&program)
        .env("CNI_COMMAND", command.name())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(wrong)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its configuration says by its exit status what it thinks of that.
        let _ = stdin.write_all(&input);
    }
    let output = child.wait_with_output().map_err(wrong)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        failed(format!("plugin {kind:?} failed ({}) and said nothing that can be read", output.status))
            .details(String::from_utf8_lossy(&output.stdout))
    }))
}

/// The program called `name` in the first of `folders` that has it.
pub fn find(folders: &[String], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file())
}
