//! A bundle: the folder with config.json and the root file system (runtime-spec "Filesystem Bundle").

pub(crate) mod document;
mod rules;

pub(crate) use rules::makes;

use crate::error::{Error, Result, failed, invalid};
use crate::namespace::Namespaces;
use crate::{file, schedule};
use document::Read;
use spec::runtime::{Process, Spec};
use std::path::{Path, PathBuf};

/// The annotation that asks for a PID 1 of ours in front of the program.
pub const INIT_ANNOTATION: &str = "dev.veneer.init";
/// The annotation that asks `run` for what `create` makes anyway: groups that count what the container uses, in every hierarchy it
/// is shown.
pub const ACCOUNTING_ANNOTATION: &str = "dev.veneer.accounting";

/// A bundle that was read and makes sense.
#[derive(Debug)]
pub struct Bundle {
    /// Absolute.
    pub path: PathBuf,
    /// The folder that becomes the root, absolute.
    pub rootfs: PathBuf,
    /// config.json.
    pub spec: Spec,
    /// config.json as it was read, mended where it had to be.
    pub raw: Vec<u8>,
    /// What of it is left out or deprecated.
    pub warnings: Vec<Error>,
}

impl Bundle {
    /// Opens the namespaces that are joined, and fails where mounts are asked for in one that is not the container's own.
    pub(crate) fn namespaces(&self) -> Result<Namespaces> {
        let listed = self.spec.linux().as_ref().and_then(|l| l.namespaces().as_deref());
        let namespaces = Namespaces::open(listed.unwrap_or_default())?;
        let checked = rules::check_mounts(&self.spec, &namespaces);
        checked.map(|()| namespaces).map_err(|e| Unplaced(e).at(&self.path.join("config.json")))
    }
}

/// Reads the bundle at `path`.
pub fn load(path: &Path) -> Result<Bundle> {
    let path = absolute(path).map_err(|e| failed("open bundle", path.display(), e))?;
    let file = path.join("config.json");
    let raw = file::read(&file).map_err(|e| {
        failed("read", file.display(), e)
            .hint("a bundle is a folder with config.json and a root file system; nsrun spec writes a template")
    })?;
    let Read { document: spec, mended, warnings } = parse(&raw).map_err(|e| e.at(&file))?;
    let raw = mended.unwrap_or(raw);
    let root = spec.root().as_ref().map(|r| r.path().clone()).unwrap_or_default();
    let rootfs = absolute(&path.join(root)).map_err(|e| failed("open root", path.join("rootfs").display(), e))?;
    Ok(Bundle { path, rootfs, spec, raw, warnings })
}

/// An error in a configuration whose place is not known yet.
#[derive(Debug)]
struct Unplaced(Error);

impl Unplaced {
    fn at(self, file: &Path) -> Error {
        let Self(error) = self;
        let text = error.to_string();
        let hint = error.hint;
        let mut placed = Error::new(error.kind, "read", file.display()).because(text);
        placed.hint = hint;
        placed
    }
}

/// Reads and checks a configuration.
fn parse(raw: &[u8]) -> std::result::Result<Read<Spec>, Unplaced> {
    let mut read = document::read::<Spec>(raw).map_err(Unplaced)?;
    if let Some(process) = read.document.process() {
        document::check_io_priority(raw, "/process", process).map_err(Unplaced)?;
    }
    rules::check(&read.document, &mut read.warnings).map_err(Unplaced)?;
    Ok(read)
}

/// Reads and checks a process document.
pub(crate) fn load_process(path: &Path) -> Result<(Process, Vec<Error>)> {
    let raw = file::read(path).map_err(|e| failed("read", path.display(), e))?;
    let read = document::read::<Process>(&raw).map_err(|e| Unplaced(e).at(path))?;
    document::check_io_priority(&raw, "", &read.document).map_err(|e| Unplaced(e).at(path))?;
    Ok((read.document, read.warnings))
}

/// The process of a configuration.
pub fn process_of(spec: &Spec) -> Result<&Process> {
    spec.process().as_ref().ok_or_else(|| invalid("process", "", "is missing"))
}

/// Fails on a process that cannot be run.
pub fn check_process(process: &Process) -> Result<()> {
    if process.args().as_ref().is_none_or(|a| a.is_empty() || a.first().is_some_and(String::is_empty)) {
        return Err(invalid("process.args", "", "names no program"));
    }
    if !process.cwd().is_absolute() {
        return Err(invalid("process.cwd", format!("{:?}", process.cwd()), "must be an absolute path"));
    }
    let limits = process.rlimits().as_deref().unwrap_or_default();
    for (at, limit) in limits.iter().enumerate() {
        if limits.iter().take(at).any(|other| other.typ() == limit.typ()) {
            return Err(invalid("process.rlimits", limit.typ(), "is listed twice"));
        }
    }
    schedule::check(process)
}

/// Whether the configuration asks for our PID 1.
pub fn wants_init(spec: &Spec) -> bool {
    asks(spec, INIT_ANNOTATION)
}

/// Whether the configuration asks for groups that count.
pub fn wants_accounting(spec: &Spec) -> bool {
    asks(spec, ACCOUNTING_ANNOTATION)
}

fn asks(spec: &Spec, annotation: &str) -> bool {
    spec.annotations().as_ref().and_then(|a| a.get(annotation)).is_some_and(|v| v == "true")
}

/// `path` without links, from the root.
pub(crate) fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    path.canonicalize()
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn refused(json: &str) -> String {
        parse(json.as_bytes()).err().unwrap().at(std::path::Path::new("/b/config.json")).to_string()
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(refused("{").starts_with("read /b/config.json: EOF"), "{}", refused("{"));
        let head = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"#;
        assert_eq!(refused(&format!("{head}\"x\":1}}")), "read /b/config.json: process: is missing");
        assert_eq!(
            refused(&format!("{head}\"process\":{{\"user\":{{}},\"cwd\":\"x\",\"args\":[\"a\"]}}}}")),
            "read /b/config.json: process.cwd \"x\": must be an absolute path"
        );
        assert_eq!(
            refused(r#"{"ociVersion":"2.0.0","root":{"path":"r"}}"#),
            "read /b/config.json: ociVersion \"2.0.0\": is no version this runtime knows (1.0.0 to 1.3.0)"
        );
        assert_eq!(
            refused(&format!(
                "{head}\"process\":{{\"user\":{{}},\"cwd\":\"/\",\"args\":[\"a\"]}},\"linux\":{{\"namespaces\":[{{\"type\":\"mount\"}},{{\"type\":\"user\"}}]}}}}"
            )),
            "read /b/config.json: linux.uidMappings: is missing, and a new user namespace needs it"
        );
    }
}
