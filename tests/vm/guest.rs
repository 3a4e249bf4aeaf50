//! A boot of the virtual machine and the test executables it is given.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// A test executable: the newest of the target's name that has a test called `test`.
pub(crate) fn executable(target: &str, test: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test's path");
    let folder = own.parent().expect("a folder").to_owned();
    let prefix = format!("{target}-");
    let mut found: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(&folder)
        .expect("executables")
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(&prefix) && e.path().extension().is_none())
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    found.sort();
    let has = |path: &Path| {
        let list = Command::new(path).args(["--list", "--exact", test]).output().expect("lists");
        String::from_utf8_lossy(&list.stdout).contains(test)
    };
    let newest = found.into_iter().rev().map(|(_, path)| path).find(|path| has(path));
    newest.unwrap_or_else(|| panic!("no executable of the target {target} in {}: build it first", folder.display()))
}

/// Boots with `options` of `vm.sh`, runs `script` by `sh` in `shared`, and gives what it said; it must succeed. Each line begins with
/// `guest| `: what tests in there say must not be taken for what those out here do.
#[track_caller]
pub(crate) fn run(shared: &Path, options: &[&str], script: &str) -> String {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = std::env::current_exe().expect("this test's path");
    // Executables of tests are in `deps`, the programs a folder above.
    let built = own.parent().and_then(Path::parent).expect("a folder");
    let mut command = Command::new(project.join("tests/lab/vm.sh"));
    for folder in [project, built] {
        command.arg("-r").arg(folder);
    }
    command.args(options).arg("-s").arg(shared).args(["-t", "2400", "--", "sh", "-c", script]).stdin(Stdio::null());
    command.env("VM_CACHE", testkit::gate::vm_cache());
    let output = command.output().expect("vm.sh runs");
    let lines = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let said: String = lines.iter().flat_map(|text| text.lines()).map(|line| format!("guest| {line}\n")).collect();
    assert!(output.status.success(), "{:?}:\n{said}", output.status.code());
    said
}
