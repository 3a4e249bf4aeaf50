//! The command line of a mount(8) helper: `mount.TYPE SOURCE TARGET [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`.
//!
//! A link `/sbin/mount.fuse.ovl-mount` or `/sbin/mount.ovl-mount` to this program makes `mount -t fuse.ovl-mount` and lines
//! of fstab work without fuse3 installed. Its letters are mount(8)'s: `-f` is fake, not foreground, and `-s` is sloppy.

use crate::cli::Args;
use cli::Failure;
use std::ffi::OsString;

/// Whether a program called so is called by mount(8).
pub fn is_helper(name: &str) -> bool {
    matches!(name, "mount.ovl-mount" | "mount.fuse.ovl-mount" | "mount.fuse3.ovl-mount")
}

/// Reads the line, without the program's name; `None` where nothing is to be mounted in truth (`-f`).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Args>, Failure> {
    let mut parsed = Args::default();
    let mut fake = false;
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            parsed.paths.push(arg.into());
            continue;
        };
        for (at, letter) in letters.char_indices() {
            match letter {
                's' | 'n' | 'i' | 'w' => {}
                'f' => fake = true,
                'v' => parsed.verbose = true,
                'r' => parsed.options.push("ro".into()),
                'o' | 't' | 'N' => {
                    let rest = &letters[at + 1..];
                    let value = if rest.is_empty() { args.next() } else { Some(rest.into()) };
                    let value = value.ok_or_else(|| usage(format!("-{letter} needs a value")))?;
                    match letter {
                        'o' => parsed.options.push(value),
                        'N' => return Err(usage("-N is not supported").hint("nsenter --mount=NAMESPACE mount …")),
                        _ => {}
                    }
                    break;
                }
                _ => return Err(usage(format!("no option -{letter}"))),
            }
        }
    }
    match parsed.paths.len() {
        2 => Ok((!fake).then_some(parsed)),
        _ => Err(usage("a source and a mount point are needed")),
    }
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::usage(message).hint("called as mount.TYPE the arguments are mount(8)'s: SOURCE TARGET -o OPTIONS")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Args>, Failure> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn as_mount_calls_its_helpers() {
        let args = parsed("src /t -o rw,lowerdir=/a -t fuse.ovl-mount -sv").unwrap().unwrap();
        assert_eq!(args.paths, [std::path::PathBuf::from("src"), "/t".into()]);
        assert_eq!((args.options, args.verbose, args.foreground), (vec!["rw,lowerdir=/a".into()], true, false));
        assert_eq!(parsed("src /t -ro").unwrap_err().message, "-o needs a value");
        assert!(parsed("src /t -f -o lowerdir=/a").unwrap().is_none());
        assert_eq!(parsed("/t").unwrap_err().message, "a source and a mount point are needed");
    }
}
