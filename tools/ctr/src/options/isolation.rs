//! Options of `ctr run` and `ctr create` about namespaces and rights.

use cli::failure::Failure;
use engine::request::device::{self, Device};
use engine::request::isolation::{self, Isolation, Maps, Security, Users};
use engine::request::{Request, manner};

/// Which namespaces it has, and what it may do.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Add Linux capabilities
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAP")]
    cap_drop: Vec<String>,
    /// Give extended privileges to this container
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    privileged: bool,
    /// Security options: no-new-privileges, seccomp=FILE, apparmor=, label=, systempaths=unconfined, writable-cgroups=, mask=, unmask=
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// PID namespace to use: host, private, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    pid: String,
    /// IPC mode to use: host, private, shareable, none, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    ipc: String,
    /// UTS namespace to use: host, private, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    uts: String,
    /// User namespace to use: host, auto[:size=N], keep-id[:uid=N,gid=N], nomap, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    userns: String,
    /// Cgroup namespace to use: host, private, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    cgroupns: String,
    /// User ids of a user namespace of its own
    #[arg(long, value_name = "CONTAINER:FROM:AMOUNT")]
    uidmap: Vec<String>,
    /// Group ids of a user namespace of its own
    #[arg(long, value_name = "CONTAINER:FROM:AMOUNT")]
    gidmap: Vec<String>,
    /// Sysctl options
    #[arg(long, value_name = "KEY=VALUE")]
    sysctl: Vec<String>,
    /// Add a host device to the container
    #[arg(long, value_name = "DEVICE[:PATH][:rwm]")]
    device: Vec<String>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "RULE")]
    device_cgroup_rule: Vec<String>,
    /// Set execution domain: LINUX or LINUX32
    #[arg(long, value_name = "DOMAIN")]
    personality: Option<String>,
    /// GPU devices: there are none here
    #[arg(long, value_name = "REQUEST", hide = true)]
    gpus: Option<String>,
    /// Container isolation technology: default is the one there is
    #[arg(long, value_name = "NAME", hide = true)]
    isolation: Option<String>,
}

impl Options {
    /// Writes them into `request`, with docker's words for what is wrong.
    pub(crate) fn read(&self, request: &mut Request) -> Result<(), Failure> {
        let mut security = Security::default();
        for option in &self.security_opt {
            if let Some(asked) = security.add(option, profile)? {
                request.no_new_privileges = asked;
            }
        }
        request.cap_add.clone_from(&self.cap_add);
        request.cap_drop.clone_from(&self.cap_drop);
        request.isolation = Isolation {
            privileged: self.privileged,
            pid: isolation::pid(&self.pid)?,
            ipc: isolation::ipc(&self.ipc)?,
            uts: isolation::uts(&self.uts)?,
            cgroup: isolation::cgroup(&self.cgroupns)?,
            users: Users::parse(&self.userns)?,
            maps: Maps::parse(&self.uidmap, &self.gidmap)?,
            security,
            sysctls: self.sysctl.iter().map(|text| isolation::sysctl(text)).collect::<engine::Result<_>>()?,
            devices: self.device.iter().map(|text| Device::parse(text)).collect::<engine::Result<_>>()?,
            device_rules: self
                .device_cgroup_rule
                .iter()
                .map(|text| device::rule(text))
                .collect::<engine::Result<_>>()?,
        };
        request.manner.personality = self.personality.as_deref().map(manner::personality).transpose()?;
        if self.gpus.is_some() {
            let message = "could not select device driver \"\" with capabilities: [[gpu]]";
            return Err(Failure::new(message).hint("--device gives a container single devices"));
        }
        match self.isolation.as_deref() {
            None | Some("" | "default") => Ok(()),
            Some(other) => Err(Failure::new(format!("Invalid isolation: {other:?} - linux only supports 'default'"))),
        }
    }
}

/// The text of a profile's file.
fn profile(file: &str) -> engine::Result<String> {
    let fail =
        |text: String| engine::Error::new(engine::Kind::Request, "", text).hint("seccomp=FILE, unconfined or builtin");
    let text = std::fs::read_to_string(file).map_err(|e| {
        fail(format!("opening seccomp profile ({file}) failed: open {file}: {}", super::process::reason(&e)))
    })?;
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(_) => Ok(text),
        Err(e) => {
            let why = if e.is_eof() { "unexpected end of JSON input".to_owned() } else { e.to_string() };
            Err(fail(format!("compacting json for seccomp profile ({file}) failed: {why}")))
        }
    }
}
