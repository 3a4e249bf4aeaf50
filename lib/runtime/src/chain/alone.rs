//! Without `--fork`: this very process goes into the new namespaces and becomes the command. What has to be done from outside (ranges
//! of ids, files that keep a namespace, anything for another owner) a helper does, forked before.

use super::{Chain, Maps, settle, wait_for_word};
use crate::channel::{Channel, Message};
use crate::create::unshare_hint;
use crate::error::{Error, Kind, Result, failed};
use crate::namespace::Namespace;

/// Returns only errors.
pub(super) fn run(chain: &Chain, maps: Option<&Maps>) -> Result<u8> {
    let files = chain.keeps(&Namespace::ALL);
    let from_outside = maps.filter(|maps| maps.ranges || chain.owner.is_some());
    let helper = if from_outside.is_some() || files { Some(Helper::start(chain, from_outside)?) } else { None };
    become_owner(chain)?;
    let flags = nix::sched::CloneFlags::from_bits_retain(chain.flags() as i32);
    let place = chain.place();
    nix::sched::unshare(flags).map_err(|e| unshare_hint(e.into(), chain.flags()))?;
    drop(place);
    chain.set_clocks()?;
    if let Some(helper) = helper {
        helper.finish()?;
    }
    if let Some(maps) = maps.filter(|_| from_outside.is_none()) {
        maps.write_own()?;
    }
    wait_for_word(chain, None)?;
    match settle(chain, None, None)? {}
}

/// The user namespace will be whose we are when it is made.
pub(super) fn become_owner(chain: &Chain) -> Result<()> {
    let Some((uid, gid)) = chain.owner else { return Ok(()) };
    super::become_ids(Some(uid), Some(gid)).map_err(|e| e.hint("--owner takes root"))
}

/// Keeps the namespaces of process `pid` that have a file.
pub(super) fn keep(chain: &Chain, pid: i32, for_children: bool) -> Result<()> {
    for (kind, file) in &chain.namespaces {
        let Some(file) = file else { continue };
        let name = if for_children && matches!(kind, Namespace::Pid | Namespace::Time) {
            format!("{}_for_children", kind.name())
        } else {
            kind.name().to_owned()
        };
        let source = format!("/proc/{pid}/ns/{name}");
        rustix::mount::mount_bind(&source, file).map_err(|e| {
            let error = failed("keep namespace in", file.display(), e);
            match e {
                rustix::io::Errno::NOENT if *kind == Namespace::Pid && for_children => error.hint(
                    "the file must exist, and a pid namespace without a first process cannot be kept: add --fork",
                ),
                rustix::io::Errno::NOENT => error.hint("the file must exist: touch it first"),
                rustix::io::Errno::INVAL if *kind == Namespace::Mnt => error
                    .hint("for a mount namespace the file must be on a private mount: findmnt -o+PROPAGATION -T FILE"),
                rustix::io::Errno::PERM => error.hint("keeping a namespace is a mount, which takes root"),
                _ => error,
            }
        })?;
    }
    Ok(())
}

/// The process that stays outside.
#[derive(Debug)]
struct Helper {
    channel: Channel,
    pid: i32,
}

impl Helper {
    fn start(chain: &Chain, maps: Option<&Maps>) -> Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let parent = nix::unistd::getpid().as_raw();
        match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
            sys::spawn::Fork::Child => {
                drop(ours);
                if let Ok(Some(_)) = theirs.receive() {
                    let done = maps.map_or(Ok(()), |maps| maps.write(parent)).and_then(|()| keep(chain, parent, true));
                    match done {
                        Ok(()) => drop(theirs.send(&Message::Ready)),
                        Err(error) => theirs.send_error(error),
                    }
                }
                sys::spawn::exit_now(0)
            }
            sys::spawn::Fork::Parent(pid, _) => Ok(Self { channel: ours, pid }),
        }
    }

    /// Says that the namespaces are there, and waits until all is done.
    fn finish(self) -> Result<()> {
        self.channel.send(&Message::Mapped)?;
        let said = self.channel.receive();
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None);
        match said? {
            Some((Message::Ready, _)) => Ok(()),
            _ => Err(Error::new(Kind::Failed, "helper", "").because("ended too early".to_owned())),
        }
    }
}
