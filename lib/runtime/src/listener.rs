//! The seccomp agent (runtime-spec "The Container Process State"): it gets the listener of the filter over its socket, with a
//! document that says whose it is.

use crate::channel::{Channel, Message};
use crate::error::{Error, Kind, Result, failed};
use crate::state::Record;
use crate::terminal;
use spec::runtime::{ContainerProcessStateBuilder, ContainerState, SECCOMP_FD_NAME, Spec};
use std::os::fd::{AsFd, OwnedFd};

/// Sends `listener` to the agent that the configuration names, and tells the process whether it has it: without, the program does
/// not run.
pub(crate) fn forward(channel: &Channel, spec: &Spec, record: &Record, listener: OwnedFd) -> Result<()> {
    let done = hand_over(spec, record, listener);
    channel.send(&Message::Heard(done.is_ok()))?;
    done
}

fn hand_over(spec: &Spec, record: &Record, listener: OwnedFd) -> Result<()> {
    let seccomp = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    let Some(path) = seccomp.and_then(|s| s.listener_path().as_ref()) else {
        return Err(
            Error::new(Kind::Invalid, "seccomp", "SCMP_ACT_NOTIFY").because("listenerPath is missing".to_owned())
        );
    };
    let mut state = ContainerProcessStateBuilder::default()
        .version(record.oci_version.clone())
        .fds(vec![SECCOMP_FD_NAME.to_owned()])
        .pid(record.pid)
        .state(crate::create::state_of(record, ContainerState::Creating));
    if let Some(metadata) = seccomp.and_then(|s| s.listener_metadata().clone()) {
        state = state.metadata(metadata);
    }
    let state = state.build().map_err(|e| Error::new(Kind::Failed, "seccomp agent", "").because(e.to_string()))?;
    let bytes = serde_json::to_vec(&state).map_err(|e| Error::new(Kind::Failed, "seccomp agent", "").because(e))?;
    let socket = terminal::connect(path).map_err(|e| {
        failed(
            "reach seccomp agent",
            path.display(),
            e.raw_os_error().map_or_else(|| std::io::Error::other("failed"), std::io::Error::from_raw_os_error),
        )
    })?;
    terminal::send_master(socket.as_fd(), listener.as_fd(), &bytes)
}
