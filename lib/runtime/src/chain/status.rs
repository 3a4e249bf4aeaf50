//! `--json-status-fd` and `--info-fd`: whoever started us learns of the command's process and of its end, in bwrap's words.
//!
//! ```text
//! { "child-pid": 2095, "mnt-namespace": 4026532177, "pid-namespace": 4026532178 }
//! { "exit-code": 3 }
//! ```

use super::Chain;
use crate::error::{Result, failed};
use crate::file;
use crate::namespace::Namespace;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;

/// Where to write.
#[derive(Debug)]
pub(super) struct Status {
    lines: Option<OwnedFd>,
    info: Option<OwnedFd>,
}

/// In bwrap's order; the user namespace is none of those it tells.
const TOLD: [Namespace; 6] =
    [Namespace::Cgroup, Namespace::Ipc, Namespace::Mnt, Namespace::Net, Namespace::Pid, Namespace::Uts];

impl Status {
    /// Takes the descriptors over, so that the command does not get them.
    pub(super) fn open(chain: &Chain) -> Result<Self> {
        let open = |number: Option<i32>, name: &'static str| -> Result<Option<OwnedFd>> {
            match number {
                None => Ok(None),
                Some(number) => {
                    let fd = sys::spawn::inherited(number).map_err(|e| {
                        failed(name, number, e).hint("the descriptor must be open: nsrun --json-status-fd 3 … 3>FILE")
                    })?;
                    if number > 2 {
                        let _ = sys::spawn::close_on_exec(number);
                    }
                    Ok(Some(fd))
                }
            }
        };
        Ok(Self { lines: open(chain.status, "--json-status-fd")?, info: open(chain.info, "--info-fd")? })
    }

    /// Says that the command's process is there.
    pub(super) fn started(&self, chain: &Chain, pid: i32) -> Result<()> {
        if self.lines.is_none() && self.info.is_none() {
            return Ok(());
        }
        let mut members = vec![("child-pid".to_owned(), pid as u64)];
        for kind in TOLD.into_iter().filter(|kind| chain.makes(*kind)) {
            let path = kind.path_of(pid);
            let stat = rustix::fs::stat(&path).map_err(|e| failed("look at", &path, e))?;
            members.push((format!("{}-namespace", kind.name()), stat.st_ino));
        }
        let join = |gap: &str| {
            let mut text = String::new();
            for (at, (name, value)) in members.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                let _ = write!(text, "{comma}{gap}\"{name}\": {value}");
            }
            text
        };
        write_to(self.lines.as_ref(), &format!("{{{} }}\n", join(" ")));
        write_to(self.info.as_ref(), &format!("{{{}\n}}\n", join("\n    ")));
        Ok(())
    }

    /// Says how it ended.
    pub(super) fn ended(&self, code: u8) {
        write_to(self.lines.as_ref(), &format!("{{ \"exit-code\": {code} }}\n"));
    }
}

/// That nobody reads is no reason to end the command.
fn write_to(fd: Option<&OwnedFd>, text: &str) {
    if let Some(fd) = fd {
        let _ = file::write_all(fd, text.as_bytes());
    }
}
