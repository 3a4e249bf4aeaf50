//! The plan of a container: a list of single-tool commands, made by one pure function.
//!
//! What `ctr run --explain` prints and what the supervisor executes are the same value. Each step can have an undo; the
//! undos run in reverse when a later step fails and when the container has ended.
//!
//! The network namespace is made before the container and given to the runtime by path, so that the last step is one
//! `run` in the foreground, whose exit code is the container's.

use crate::machine::Machine;
use crate::process::Process;
use crate::request::{HOST, Network, Request};
use crate::text::{Name, Text};
use crate::tools::Tool;
use crate::{Result, bundle};
use spec::ContainerId;
use std::path::{Path, PathBuf};

/// Everything a plan is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The container's id.
    pub id: &'a ContainerId,
    /// What was asked for.
    pub request: &'a Request,
    /// The image's layers, lowest first; `/` alone for the image `host`.
    pub layers: &'a [PathBuf],
    /// What runs, resolved.
    pub process: &'a Process,
    /// What the machine is like.
    pub machine: &'a Machine,
    /// Where the writable layer and the overlay's work folder are.
    pub writable: Writable,
}

/// The two folders an overlay writes to.
#[derive(Debug, Clone)]
pub struct Writable {
    /// The writable layer.
    pub upper: Text,
    /// The overlay's own work folder.
    pub work: Text,
    /// Whether both are below the run's folder.
    pub in_tmp: bool,
}

impl Writable {
    /// Below the run's temporary folder, as a script has it.
    pub fn temporary() -> Self {
        Self { upper: Text::tmp("upper"), work: Text::tmp("work"), in_tmp: true }
    }
}

/// What `ctr run` does.
#[derive(Debug)]
pub struct Plan {
    /// The container's id.
    pub id: ContainerId,
    /// In order.
    pub steps: Vec<Step>,
    /// Whether standard input reaches the container.
    pub interactive: bool,
    /// Whether the container has a terminal.
    pub tty: bool,
    /// The options of `nsrun` that make the namespaces in which all of it happens.
    pub outer: Vec<&'static str>,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Why, in a few words; a comment in the script.
    pub why: &'static str,
    /// What is done.
    pub action: Action,
    /// What takes it back.
    pub undo: Option<Command>,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// Make folders.
    Folders(Vec<Text>),
    /// Write a file.
    File {
        /// Where.
        path: Text,
        /// What.
        content: Text,
    },
    /// Execute a tool.
    Run(Command),
    /// Start a server that runs beside the container: it says on descriptor 3 that it is ready, and ends when its standard
    /// input does.
    Serve(Command),
}

/// One command of a tool.
#[derive(Debug)]
pub struct Command {
    /// Which.
    pub tool: Tool,
    /// Environment that it alone gets.
    pub env: Vec<(&'static str, String)>,
    /// Its words.
    pub words: Vec<Text>,
    /// Which value its output gives.
    pub output: Option<Name>,
}

impl Command {
    fn new(tool: Tool, words: impl IntoIterator<Item = impl Into<Text>>) -> Self {
        Self { tool, env: Vec::new(), words: words.into_iter().map(Into::into).collect(), output: None }
    }
}

/// The network a request ends up with: `host` runs without one unless asked, images on `bridge`.
pub fn network(request: &Request) -> Network {
    match &request.network {
        Network::Default if request.image == HOST => Network::None,
        Network::Default => Network::Named("bridge".into()),
        other => other.clone(),
    }
}

/// The container's host name: as asked, the machine's with its network, else the short id.
pub fn hostname(id: &ContainerId, request: &Request, machine: &Machine) -> String {
    match (&request.hostname, network(request)) {
        (Some(name), _) => name.clone(),
        (None, Network::Host) => machine.hostname.clone(),
        _ => id.short().to_owned(),
    }
}

/// Makes the plan.
pub fn make(inputs: &Inputs<'_>) -> Result<Plan> {
    let mut steps = vec![Step {
        why: "where the container is put together",
        action: Action::Folders(vec![Text::tmp("root"), Text::tmp("bundle")]),
        undo: None,
    }];
    let Writable { upper, work, .. } = &inputs.writable;
    steps.push(Step {
        why: "the writable layer",
        action: Action::Folders(vec![upper.clone(), work.clone()]),
        undo: None,
    });
    steps.push(mount(inputs));
    if let Network::Named(network) = network(inputs.request) {
        steps.extend(wire(inputs, &network));
    }
    steps.extend(bundle::files(inputs).into_iter().map(|(why, path, content)| Step {
        why,
        action: Action::File { path, content },
        undo: None,
    }));
    steps.push(Step {
        why: "what the runtime is told: OCI runtime-spec, config.json",
        action: Action::File { path: Text::tmp("bundle/config.json"), content: bundle::config(inputs)? },
        undo: None,
    });
    Ok(Plan {
        id: inputs.id.clone(),
        steps,
        interactive: inputs.request.interactive,
        tty: inputs.request.tty,
        outer: outer(inputs.machine),
    })
}

/// How the namespaces are made in which mounts happen, so that no mount is seen outside and all go with us.
pub fn outer(machine: &Machine) -> Vec<&'static str> {
    match (machine.rootless, machine.has_id_ranges) {
        (false, _) => vec!["--mount", "--propagation", "slave"],
        (true, true) => vec!["--user", "--map-root-user", "--map-auto", "--mount", "--propagation", "slave"],
        (true, false) => vec!["--user", "--map-root-user", "--mount", "--propagation", "slave"],
    }
}

fn mount(inputs: &Inputs<'_>) -> Step {
    let request = inputs.request;
    let lowers: Vec<String> = inputs.layers.iter().rev().map(|layer| escape(layer)).collect();
    let mut options = Text::plain(&format!("lowerdir={},upperdir=", lowers.join(":")))
        .then(&inputs.writable.upper)
        .then(&",workdir=".into())
        .then(&inputs.writable.work);
    if request.programs.mount.is_none() {
        // what a container wrote becomes a layer by itself (commit, diff): no name or content in it may point below
        options = options.then(&",redirect_dir=off,metacopy=off,index=off".into());
    }
    let unprivileged_host = request.image == HOST && inputs.machine.rootless;
    if unprivileged_host {
        // root's files have no owner in a user namespace; squashed, every file of the machine is the container root's
        options = options.then(&",squash_to_root".into());
    }
    let drivers = match &request.driver {
        Some(asked) => asked.clone(),
        // the kernel refuses `/` as a lower layer in a user namespace
        None if unprivileged_host => "fuse".into(),
        None => "kernel,fuse".into(),
    };
    let mut command = Command::new(Tool::OvlMount, [Text::plain("-o"), options, Text::tmp("root")]);
    if request.programs.mount.is_none() {
        command.env.push(("OVL_DRIVER", drivers));
    }
    Step {
        why: "the image's layers, read-only, under the writable one",
        action: Action::Run(command),
        undo: Some(Command::new(Tool::Umount, [Text::tmp("root")])),
    }
}

fn wire(inputs: &Inputs<'_>, network: &str) -> Vec<Step> {
    let net = Text::tmp("net");
    let hold = Step {
        why: "a file to hold the network namespace",
        action: Action::File { path: net.clone(), content: Text::default() },
        undo: None,
    };
    let words = [Text::plain("--net=").then(&net), "--".into(), "true".into()];
    let make = Step {
        why: "a network namespace, kept by that file",
        action: Action::Run(Command::new(Tool::Nsrun, words)),
        undo: Some(Command::new(Tool::Umount, [net.clone()])),
    };
    let connect = if inputs.machine.rootless { slirp(net) } else { attach(inputs, network, net) };
    vec![hold, make, connect]
}

fn attach(inputs: &Inputs<'_>, network: &str, net: Text) -> Step {
    let id = inputs.id.as_str();
    let words =
        ["attach".into(), "--network".into(), Text::plain(network), "--netns".into(), net, "--id".into(), id.into()];
    let mut attach = Command::new(Tool::Netwire, words);
    attach.output = Some(Name::Address);
    Step {
        why: "an interface, an address and a route in it",
        action: Action::Run(attach),
        undo: Some(Command::new(Tool::Netwire, ["detach", "--network", network, "--id", id])),
    }
}

/// The address slirp4netns gives the one who uses it, and that of its name server (slirp4netns(1)).
pub const SLIRP_ADDRESS: &str = "10.0.2.100";
/// See [`SLIRP_ADDRESS`].
pub const SLIRP_NAME_SERVER: &str = "10.0.2.3";

/// A user may not touch the machine's network: a program of theirs carries the packets.
fn slirp(net: Text) -> Step {
    let mut words: Vec<Text> =
        ["--configure", "--mtu=65520", "--disable-host-loopback", "--ready-fd=3", "--exit-fd=0", "--netns-type=path"]
            .map(Text::from)
            .into();
    words.extend([net, "eth0".into()]);
    Step {
        why: "an interface in it, whose packets a program of the user's carries",
        action: Action::Serve(Command::new(Tool::Slirp, words)),
        undo: None,
    }
}

/// A path in `mount -o` grammar: `:` separates layers and `,` options, a backslash takes their meaning away.
fn escape(path: &Path) -> String {
    let mut out = String::new();
    for c in path.to_string_lossy().chars() {
        if matches!(c, ':' | ',' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
