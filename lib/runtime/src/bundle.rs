//! A bundle: the folder with config.json and the root file system (runtime-spec "Filesystem Bundle").

use crate::error::{Error, Kind, Result, failed, invalid};
use crate::file;
use crate::namespace::Namespace;
use spec::runtime::{Process, Spec};
use std::path::{Path, PathBuf};

/// The annotation that asks for a PID 1 of ours in front of the program.
pub const INIT_ANNOTATION: &str = "dev.veneer.init";

/// A bundle that was read and makes sense.
#[derive(Debug)]
pub struct Bundle {
    /// Absolute.
    pub path: PathBuf,
    /// The folder that becomes the root, absolute.
    pub rootfs: PathBuf,
    /// config.json.
    pub spec: Spec,
    /// config.json as it was read.
    pub raw: Vec<u8>,
}

/// Reads the bundle at `path`.
pub fn load(path: &Path) -> Result<Bundle> {
    let path = absolute(path).map_err(|e| failed("open bundle", path.display(), e))?;
    let file = path.join("config.json");
    let raw = file::read(&file).map_err(|e| {
        failed("read", file.display(), e)
            .hint("a bundle is a folder with config.json and a root file system; nsrun spec writes a template")
    })?;
    let spec = parse(&raw).map_err(|e| e.at(&file))?;
    let root = spec.root().as_ref().map(|r| r.path().clone()).unwrap_or_default();
    let rootfs = absolute(&path.join(root)).map_err(|e| failed("open root", path.join("rootfs").display(), e))?;
    Ok(Bundle { path, rootfs, spec, raw })
}

/// An error in a configuration whose place is not known yet.
#[derive(Debug)]
pub struct Unplaced(Error);

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
pub fn parse(raw: &[u8]) -> std::result::Result<Spec, Unplaced> {
    let spec: Spec = serde_json::from_slice(raw).map_err(|e| Unplaced(Error::new(Kind::Invalid, "", "").because(e)))?;
    check(&spec).map_err(Unplaced)?;
    Ok(spec)
}

fn check(spec: &Spec) -> Result<()> {
    let version = spec.version();
    if !version.starts_with("1.") {
        return Err(invalid("ociVersion", format!("{version:?}"), "is none this runtime knows (1.0 to 1.2)"));
    }
    if spec.root().as_ref().is_none_or(|r| r.path().as_os_str().is_empty()) {
        return Err(invalid("root.path", "", "is missing"));
    }
    let process = process_of(spec)?;
    check_process(process)?;
    let linux = spec.linux().as_ref();
    let namespaces = linux.and_then(|l| l.namespaces().as_deref()).unwrap_or_default();
    let has = |kind: Namespace| namespaces.iter().any(|n| Namespace::from(n.typ()) == kind);
    if !has(Namespace::Mnt) {
        return Err(invalid("linux.namespaces", "", "has no mount namespace, which this runtime needs"));
    }
    let mapped = linux.is_some_and(|l| l.uid_mappings().as_ref().is_some_and(|m| !m.is_empty()));
    let joins_user = namespaces.iter().any(|n| {
        Namespace::from(n.typ()) == Namespace::User && n.path().as_ref().is_some_and(|p| !p.as_os_str().is_empty())
    });
    if mapped && !has(Namespace::User) {
        return Err(invalid("linux.uidMappings", "", "needs a user namespace in linux.namespaces"));
    }
    if has(Namespace::User) && !joins_user && !mapped {
        return Err(invalid("linux.uidMappings", "", "is missing, and a new user namespace needs it"));
    }
    spec.hooks().as_ref().map_or(Ok(()), crate::hooks::check)?;
    for mount in spec.mounts().iter().flatten() {
        if mount.destination().as_os_str().is_empty() {
            return Err(invalid("mounts", "", "one has no destination"));
        }
    }
    Ok(())
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
    Ok(())
}

/// Whether the configuration asks for our PID 1.
pub fn wants_init(spec: &Spec) -> bool {
    spec.annotations().as_ref().and_then(|a| a.get(INIT_ANNOTATION)).is_some_and(|v| v == "true")
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
        parse(json.as_bytes()).unwrap_err().at(std::path::Path::new("/b/config.json")).to_string()
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
            "read /b/config.json: ociVersion \"2.0.0\": is none this runtime knows (1.0 to 1.2)"
        );
        assert_eq!(
            refused(&format!(
                "{head}\"process\":{{\"user\":{{}},\"cwd\":\"/\",\"args\":[\"a\"]}},\"linux\":{{\"namespaces\":[{{\"type\":\"mount\"}},{{\"type\":\"user\"}}]}}}}"
            )),
            "read /b/config.json: linux.uidMappings: is missing, and a new user namespace needs it"
        );
    }
}
