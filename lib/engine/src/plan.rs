//! The plan of a container: a list of single-tool commands, made by one pure function.
//!
//! What `ctr run --explain` prints and what the supervisor executes are the same value. Each step can have an undo; the
//! undos run in reverse when a later step fails and when the container has ended.
//!
//! The network namespace is made before the container and given to the runtime by path, so that the last step is one
//! `run` in the foreground, whose exit code is the container's.

use crate::machine::Machine;
use crate::process::Process;
use crate::request::isolation::Space;
use crate::request::secret::Way;
use crate::request::{Network, Request};
use crate::resolver::{self, Choice};
use crate::surroundings::Surroundings;
use crate::text::Text;
use crate::tools::Tool;
use crate::wiring::{self, Endpoint};
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
    /// The container's name, which others on its networks call it by.
    pub name: Option<&'a str>,
    /// What the image says it listens on: `80/tcp`.
    pub image_ports: &'a [String],
    /// The container whose network it has, where it was asked for one.
    pub shared: Option<&'a Shared>,
    /// What else of the world it needs.
    pub around: &'a Surroundings,
}

/// A running container whose network another one has too.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Its process.
    pub pid: i32,
    /// The folder with the `hosts` and `resolv.conf` of the container that the network was made for.
    pub folder: PathBuf,
    /// That container's host name.
    pub hostname: String,
}

/// The two folders an overlay writes to.
#[derive(Debug, Clone)]
pub struct Writable {
    /// The writable layer.
    pub upper: Text,
    /// The overlay's own work folder.
    pub work: Text,
    /// A layer between image and upper, as docker has it: what is in it is no change of the container's.
    pub init: Text,
    /// Whether both are below the run's folder.
    pub in_tmp: bool,
}

impl Writable {
    /// Below the run's temporary folder, as a script has it.
    pub fn temporary() -> Self {
        Self { upper: Text::tmp("upper"), work: Text::tmp("work"), init: Text::tmp("init"), in_tmp: true }
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
    /// More of them, with their values: folders that stay shared with the machine.
    pub shared: Vec<Text>,
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
    /// Make docker's mark, an empty file that everybody may execute.
    Mark(Text),
    /// Give files, and what is in folders, to another user and group.
    Own {
        /// Which.
        paths: Vec<Text>,
        /// User and group.
        owner: (u32, u32),
    },
    /// Write a file that nobody else may read.
    Secret {
        /// Where.
        path: Text,
        /// What is in it.
        content: Vec<u8>,
        /// User and group.
        owner: (u32, u32),
        /// Permissions.
        mode: u32,
    },
    /// Execute a tool.
    Run(Command),
    /// Make [`Hosts`](crate::text::Name::Hosts), [`Resolver`](crate::text::Name::Resolver) and
    /// [`Gateway`](crate::text::Name::Gateway) of what the networks told.
    Names(Names),
}

/// What becomes of the networks' words.
#[derive(Debug, Clone)]
pub struct Names {
    /// What stands behind each address in `/etc/hosts`.
    pub names: String,
    /// `/etc/resolv.conf`, in both ways.
    pub resolver: Choice,
    /// Whether [`Gateway`](crate::text::Name::Gateway) is needed.
    pub gateway: bool,
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
    /// Whether it prints what a network gave: a line of JSON.
    pub wire: bool,
    /// Whether its standard input is to end with us: that is what it leaves behind ends with.
    pub until_eof: bool,
}

impl Command {
    pub(crate) fn new(tool: Tool, words: impl IntoIterator<Item = impl Into<Text>>) -> Self {
        Self {
            tool,
            env: Vec::new(),
            words: words.into_iter().map(Into::into).collect(),
            wire: false,
            until_eof: false,
        }
    }
}

/// The network a request ends up with: `host` runs without one unless asked, images on `bridge`.
pub fn network(request: &Request) -> Network {
    match &request.network {
        Network::Default if request.is_on_host() => Network::None,
        Network::Default => Network::Named("bridge".into()),
        other => other.clone(),
    }
}

/// The container's host name: as asked, the machine's with its network, another container's with that one's, else the short id.
pub fn hostname(id: &ContainerId, request: &Request, machine: &Machine, shared: Option<&Shared>) -> String {
    match (&request.hostname, network(request), shared) {
        (Some(name), ..) => name.clone(),
        _ if request.isolation.uts == Space::Host => machine.hostname.clone(),
        (None, Network::Host, _) => machine.hostname.clone(),
        (None, Network::Container(_), Some(shared)) => shared.hostname.clone(),
        _ => id.short().to_owned(),
    }
}

/// The container's root file system: the folder of the machine that `--rootfs` names, else the overlay.
pub(crate) fn root(request: &Request) -> Text {
    if request.manner.rootfs { Text::plain(&request.image) } else { Text::tmp("root") }
}

/// Makes the plan.
pub fn make(inputs: &Inputs<'_>) -> Result<Plan> {
    let mut steps = vec![Step {
        why: "where the container is put together",
        action: Action::Folders(vec![Text::tmp("root"), Text::tmp("bundle")]),
        undo: None,
    }];
    let Writable { upper, work, init, .. } = &inputs.writable;
    if !inputs.request.manner.rootfs {
        steps.push(Step {
            why: "the writable layer",
            action: Action::Folders(vec![upper.clone(), work.clone()]),
            undo: None,
        });
        if has_mark(inputs.request) {
            let path = init.clone().then(&"/.dockerenv".into());
            let action = Action::Folders(vec![init.clone()]);
            steps.push(Step { why: "by which programs know that they are in a container", action, undo: None });
            steps.push(Step { why: "", action: Action::Mark(path), undo: None });
        }
        steps.push(mount(inputs)?);
    }
    if let Network::Named(_) = network(inputs.request) {
        steps.extend(wire(inputs)?);
    }
    steps.extend(volumes(inputs)?);
    steps.extend(bundle::files(inputs).into_iter().map(|(why, path, content)| Step {
        why,
        action: Action::File { path, content },
        undo: None,
    }));
    if let Some(owner) = bundle::owner(inputs, 0, 0)? {
        let paths = ["hostname", "hosts", "resolv.conf"].map(Text::tmp).into();
        steps.push(Step { why: "they are the container's root's", action: Action::Own { paths, owner }, undo: None });
    }
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
        shared: shared(inputs.request, &inputs.around.absent).iter().map(|word| Text::plain(word)).collect(),
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

/// The options of `nsrun` that keep the sources of `:rshared` volumes shared with the machine, but for those that are `absent`.
pub fn shared(request: &Request, absent: &[PathBuf]) -> Vec<String> {
    let is_shared = |word: &str| matches!(word, "shared" | "rshared");
    let volumes = request
        .volumes
        .iter()
        .filter(|v| v.propagation.as_deref().is_some_and(is_shared) && !absent.contains(&v.source));
    volumes.flat_map(|v| ["--keep-shared".to_owned(), v.source.to_string_lossy().into_owned()]).collect()
}

/// What volumes need before they can be bound.
fn volumes(inputs: &Inputs<'_>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let text = |path: &Path| Text::plain(&path.to_string_lossy());
    if !inputs.around.absent.is_empty() {
        let missing = inputs.around.absent.iter().map(|path| text(path)).collect();
        steps.push(Step { why: "sources of volumes that are not there", action: Action::Folders(missing), undo: None });
    }
    for (folders, command, undo) in bundle::overlays(inputs) {
        steps.push(Step { why: "a writable layer over a volume", action: Action::Folders(folders), undo: None });
        steps.push(Step { why: "", action: Action::Run(command), undo: Some(undo) });
    }
    for (number, (secret, content)) in inputs.request.manner.secrets.iter().zip(&inputs.around.secrets).enumerate() {
        let Way::File { uid, gid, mode, .. } = secret.way else { continue };
        let owner = bundle::owner(inputs, uid, gid)?.unwrap_or((uid, gid));
        let path = Text::tmp(&format!("secret-{number}"));
        let action = Action::Secret { path, content: content.clone(), owner, mode };
        steps.push(Step { why: "a secret", action, undo: None });
    }
    let identity = &inputs.process.identity;
    for volume in inputs.request.volumes.iter().filter(|v| v.own && v.is_bind()) {
        let shifted = bundle::owner(inputs, identity.uid, identity.gid)?;
        let owner = shifted.unwrap_or((identity.uid, identity.gid));
        let paths = vec![text(&volume.source)];
        steps.push(Step {
            why: "a volume that is the container's user's",
            action: Action::Own { paths, owner },
            undo: None,
        });
    }
    Ok(steps)
}

fn mount(inputs: &Inputs<'_>) -> Result<Step> {
    let target = Text::tmp("root");
    let command = overlay(inputs.request, inputs.layers, &inputs.writable, inputs.machine, target.clone())?;
    Ok(Step {
        why: "the image's layers, read-only, under the writable one",
        action: Action::Run(command),
        undo: Some(Command::new(Tool::Umount, [target])),
    })
}

/// Whether the container has docker's mark, `/.dockerenv`, in a layer of its own; over the machine's own root programs are to find what they know.
pub(crate) fn has_mark(request: &Request) -> bool {
    !request.is_on_host()
}

/// Lays `layers` (lowest first), and that of docker's mark, under the writable one on `target`.
pub(crate) fn overlay(
    request: &Request,
    layers: &[PathBuf],
    writable: &Writable,
    machine: &Machine,
    target: Text,
) -> Result<Command> {
    let lowers: Vec<String> = layers.iter().rev().map(|layer| escape(layer)).collect();
    let mut options = Text::plain("lowerdir=");
    if has_mark(request) {
        options = options.then(&writable.init).then(&":".into());
    }
    options = options
        .then(&Text::plain(&format!("{},upperdir=", lowers.join(":"))))
        .then(&writable.upper)
        .then(&",workdir=".into())
        .then(&writable.work);
    if request.programs.mount.is_none() {
        // what a container wrote becomes a layer by itself (commit, diff): no name or content in it may point below
        options = options.then(&",redirect_dir=off,metacopy=off,index=off".into());
    }
    let unprivileged_host = request.is_on_host() && machine.rootless;
    if unprivileged_host {
        // root's files have no owner in a user namespace; squashed, every file of the machine is the container root's
        options = options.then(&",squash_to_root".into());
    }
    let maps = crate::userns::maps(request, machine)?;
    options = options.then(&bundle::layer_options(&maps).into());
    let drivers = match &request.driver {
        Some(asked) => asked.clone(),
        // the kernel refuses `/` as a lower layer in a user namespace
        None if unprivileged_host => "fuse".into(),
        None => "kernel,fuse".into(),
    };
    let mut command = Command::new(Tool::OvlMount, [Text::plain("-o"), options, target]);
    if request.programs.mount.is_none() {
        command.env.push(("OVL_DRIVER", drivers));
    }
    Ok(command)
}

/// Lays `layers` (lowest first) over each other on `target`, to be read only.
pub(crate) fn read_only(request: &Request, layers: &[PathBuf], target: Text) -> Command {
    let lowers: Vec<String> = layers.iter().rev().map(|layer| escape(layer)).collect();
    let options = Text::plain(&format!("lowerdir={},ro", lowers.join(":")));
    let mut command = Command::new(Tool::OvlMount, [Text::plain("-o"), options, target]);
    if let (None, Some(driver)) = (&request.programs.mount, &request.driver) {
        command.env.push(("OVL_DRIVER", driver.clone()));
    } else if request.programs.mount.is_none() {
        command.env.push(("OVL_DRIVER", "kernel,fuse".into()));
    }
    command
}

fn wire(inputs: &Inputs<'_>) -> Result<Vec<Step>> {
    let net = Text::tmp("net");
    let hold = Step {
        why: "a file to hold the network namespace",
        action: Action::File { path: net.clone(), content: Text::default() },
        undo: None,
    };
    let mut steps = vec![hold];
    let mut words = Vec::new();
    let mut why = "a network namespace, kept by that file";
    if let Some((file, more)) = bundle::namespace_files(inputs)? {
        // A network namespace belongs to the user namespace it is made in, and the container's root is to rule it.
        let hold = Action::File { path: file.clone(), content: Text::default() };
        steps.push(Step { why: "a file to hold the user namespace", action: hold, undo: Some(bundle::release(&file)) });
        words = more;
        why = "both namespaces, kept by those files";
    }
    words.extend([Text::plain("--net=").then(&net), "--".into(), "true".into()]);
    steps.push(Step {
        why,
        action: Action::Run(Command::new(Tool::Nsrun, words)),
        undo: Some(Command::new(Tool::Umount, [net.clone()])),
    });
    let endpoints = wiring::endpoints(inputs.request);
    steps.extend(endpoints.iter().enumerate().map(|(number, endpoint)| attach(inputs, endpoint, number)));
    steps.push(Step {
        why: "its own names, and its name servers",
        action: Action::Names(Names {
            names: names(&hostname(inputs.id, inputs.request, inputs.machine, inputs.shared)),
            resolver: resolver::choose(&inputs.machine.resolv_conf, inputs.request),
            gateway: inputs.request.wiring.hosts.iter().any(|(_, to)| to == resolver::HOST_GATEWAY),
        }),
        undo: None,
    });
    Ok(steps)
}

/// docker: a full name also stands without its domain.
fn names(hostname: &str) -> String {
    match hostname.split_once('.') {
        Some((short, _)) => format!("{hostname} {short}"),
        None => hostname.to_owned(),
    }
}

/// One interface; the first one has the default route and the ports.
fn attach(inputs: &Inputs<'_>, endpoint: &Endpoint, number: usize) -> Step {
    let id = inputs.id.as_str();
    let network = endpoint.network.as_str();
    let mut command = Command::new(Tool::Netwire, ["attach", "--network", network, "--netns"]);
    command.words.push(Text::tmp("net"));
    let mut add = |option: &str, value: &str| command.words.extend([Text::plain(option), Text::plain(value)]);
    add("--id", id);
    if let Some(ip) = endpoint.ip {
        add("--ip", &ip.to_string());
    }
    if let Some(ip) = endpoint.ip6 {
        add("--ip6", &ip.to_string());
    }
    if let Some(mac) = &endpoint.mac {
        add("--mac", mac);
    }
    if wiring::has_names(network) {
        if let Some(name) = inputs.name {
            add("--name", name);
        }
        for alias in wiring::aliases(inputs.id, inputs.request, endpoint) {
            add("--alias", &alias);
        }
        // The network's own name server asks these, for this container.
        for server in &inputs.request.wiring.dns {
            add("--dns", server);
        }
    }
    if number == 0 {
        for spec in wiring::published(inputs.request, inputs.image_ports) {
            add("-p", &spec);
        }
    }
    if wiring::is_users_program(network) {
        command.words.push("--until-eof".into());
        command.until_eof = true;
    }
    command.wire = true;
    let mut detach = Command::new(Tool::Netwire, ["detach", "--network", network, "--id", id]);
    for command in [&mut command, &mut detach] {
        command.env.extend(wiring::environment(inputs.request));
    }
    Step {
        why: if number == 0 { "an interface, an address and a route in it" } else { "an interface on another network" },
        action: Action::Run(command),
        undo: Some(detach),
    }
}

/// A path in `mount -o` grammar: `:` separates layers and `,` options, a backslash takes their meaning away.
pub(crate) fn escape(path: &Path) -> String {
    let mut out = String::new();
    for c in path.to_string_lossy().chars() {
        if matches!(c, ':' | ',' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
