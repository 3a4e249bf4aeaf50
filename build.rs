//! How the programs that a container's start executes are linked: statically and position-independent where this machine can, else as Rust does
//! by default.
//!
//! `ctr run` executes five programs, nsrun of them twice (lib/runtime/src/seal.rs says why), and looking up and relocating symbols of shared
//! libraries is most of what a start of a program costs (docs/performance.md, "Linking"). So they take the C library's archive, where it is
//! installed. That needs no explicit target: `-static-pie` goes to the linker for these programs, and a folder of linker
//! scripts leads the names rustc asks for (`-lc`, `-lgcc_s`) to archives. All addresses are still randomised. Linked so, nsrun begins in
//! lib/sys/src/early.rs, as does ctr where it is called nsrun.
//!
//! A program made the same way is linked and run first: where that fails (no archive, another C library, a loader older than packed
//! relocations, cross-compiling) nothing is changed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// Fails to run where packed relocations are not applied.
const PROBE: &str = "static int x = 7; static int *volatile p = &x; int main(void) { return *p - 7; }\n";
const FLAGS: [&str; 2] = ["-static-pie", "-Wl,-z,pack-relative-relocs"];

fn main() {
    tell("rerun-if-changed=build.rs");
    tell("rerun-if-env-changed=VENEER_DYNAMIC");
    if let Ok(Some(folder)) = scripts() {
        for program in ["ctr", "nsrun", "netwire", "ovl-mount"] {
            tell(&format!("rustc-link-arg-bin={program}=-L{}", folder.display()));
            for flag in FLAGS {
                tell(&format!("rustc-link-arg-bin={program}={flag}"));
            }
        }
        if variable("CARGO_CFG_TARGET_ARCH") == "x86_64" {
            tell("rustc-link-arg-bin=nsrun=-Wl,-e,veneer_start");
            tell("rustc-link-arg-bin=ctr=-Wl,-e,veneer_start_by_name");
        }
    }
}

fn tell(cargo: &str) {
    let _ = writeln!(io::stdout(), "cargo::{cargo}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The folder of linker scripts; `None` where they are to be linked as usual.
fn scripts() -> io::Result<Option<PathBuf>> {
    let here = variable("TARGET") == variable("HOST") && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let chosen = variable("CARGO_CFG_TARGET_FEATURE").contains("crt-static") || env::var_os("VENEER_DYNAMIC").is_some();
    if !here || chosen {
        return Ok(None);
    }
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let out = PathBuf::from(variable("OUT_DIR"));
    if !probe(&linker, &out)? {
        return Ok(None);
    }
    let folder = out.join("archives");
    fs::create_dir_all(&folder)?;
    // One group, since the C library and the unwinder need each other.
    let mut base = Vec::new();
    for archive in ["libc.a", "libgcc_eh.a", "libgcc.a"] {
        let Some(path) = find(&linker, archive)? else { return Ok(None) };
        base.push(path);
    }
    let base = base.join(" ");
    for name in ["c", "gcc_s"] {
        fs::write(folder.join(format!("lib{name}.so")), format!("GROUP ( {base} )\n"))?;
    }
    for name in ["m", "dl", "rt", "pthread", "util"] {
        let Some(path) = find(&linker, &format!("lib{name}.a"))? else { return Ok(None) };
        fs::write(folder.join(format!("lib{name}.so")), format!("GROUP ( {path} )\n"))?;
    }
    Ok(Some(folder))
}

/// Whether a program linked like this runs.
fn probe(linker: &str, out: &Path) -> io::Result<bool> {
    let (source, program) = (out.join("probe.c"), out.join("probe"));
    fs::write(&source, PROBE)?;
    let mut made = Command::new(linker);
    made.args(FLAGS).arg("-fPIE").arg("-o").arg(&program).arg(&source).stderr(Stdio::null());
    Ok(made.status()?.success() && Command::new(&program).status()?.success())
}

/// Where the compiler finds an archive.
fn find(linker: &str, archive: &str) -> io::Result<Option<String>> {
    let output = Command::new(linker).arg(format!("-print-file-name={archive}")).output()?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Path::new(&path).is_absolute().then_some(path))
}
