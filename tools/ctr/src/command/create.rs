//! `ctr create`: a new container that is not started; and what `ctr run` does before it starts one.

use super::Context;
use crate::context::run_failure;
use crate::options::Options;
use cli::failure::{Failure, Outcome};
use engine::launch::{self, Base};
use engine::life::Site;
use engine::machine::Machine;
use engine::place::Place;
use engine::plan;
use engine::process::Defaults;
use engine::request::isolation::Users;
use engine::request::{HOST, Network, Request};
use engine::{resolver, tools, wiring};
use std::path::{Path, PathBuf};
use store::{Record, Root};

/// Options of `ctr create`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    // docker: what is wrong with the options is 125, what the engine refuses is 1
    let mut request = args.options.request()?;
    request.streams = args.options.streams.read(request.interactive, false)?;
    let refused = |failure: Failure| failure.code(cli::exit::FAILED);
    let (request, machine) = checked(request, context).map_err(refused)?;
    context.become_root()?;
    let alone = |new: New<'_>| Ok((launch::create(new.root, new.request, new.base, new.name)?, ()));
    let (made, ()) = make(&args.options, &request, machine, context, alone).map_err(refused)?;
    super::print(&format!("{}\n", made.record.id))
}

/// A container that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) root: Root,
    pub(crate) place: Place,
    pub(crate) own: PathBuf,
    pub(crate) record: Record,
}

/// What a container's record is made of.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub(crate) root: &'a Root,
    pub(crate) place: &'a Place,
    pub(crate) own: &'a Path,
    pub(crate) machine: &'a Machine,
    pub(crate) request: &'a Request,
    pub(crate) base: &'a Base,
    pub(crate) name: Option<&'a str>,
}

/// Refuses what cannot be on this machine, and says what will be otherwise than asked.
pub(crate) fn checked(mut request: Request, context: &Context) -> Result<(Request, Machine), Failure> {
    let machine = context.machine()?;
    if machine.rootless {
        let carried = ["pasta", "slirp4netns"].into_iter().any(|program| tools::in_path(program).is_some());
        say(wiring::without_root(&mut request, carried).map_err(run_failure)?);
    }
    launch::check(&request, &machine).map_err(run_failure)?;
    if let Some(warning) = wiring::discarded(&request).filter(|_| !is_run_again()) {
        cli::output::err_line(warning);
    }
    crate::options::limits::settle(&mut request, &machine)?;
    engine::userns::keep_user(&mut request, &machine);
    tell_of_name_servers(&request, &machine);
    Ok((request, machine))
}

/// Has the container's record written by `write`, which gives what else the caller wants of that; nothing else is made yet.
pub(crate) fn make<T>(
    options: &Options,
    request: &Request,
    machine: Machine,
    context: &Context,
    write: impl FnOnce(New<'_>) -> engine::Result<(Record, T)>,
) -> Result<(Made, T), Failure> {
    let mut id_file = options.id_file()?;
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    engine::life::settle(&root, &place, &own).map_err(run_failure)?;
    // The image cannot go between being found and being used; and who chooses ids that nobody has is alone until it is
    // written down whose they are.
    let mode = match request.isolation.users {
        Users::Auto { .. } => store::Mode::Exclusive,
        _ => store::Mode::Shared,
    };
    let look = || -> Result<_, Failure> {
        let images = root.lock(store::Lock::Images, mode)?;
        let base = base(request, &root).map_err(run_failure)?;
        let request = engine::surroundings::settled(request, &root, &machine).map_err(run_failure)?;
        options.network.check_links(&root)?;
        Ok((images, base, request))
    };
    let name = options.name();
    if let (Some(name), true) = (name, options.replace) {
        // Nothing goes for what cannot be made; and nobody waits for the lock until that has ended which goes.
        drop(look()?);
        replace(Site { root: &root, place: &place, own: &own }, name).map_err(run_failure)?;
    }
    let (images, base, request) = look()?;
    let new = New { root: &root, place: &place, own: &own, machine: &machine, request: &request, base: &base, name };
    let (record, more) = write(new).map_err(run_failure)?;
    drop(images);
    engine::events::container(&root, &record, "create", &[]);
    id_file.write(record.id.as_str())?;
    if request.image == HOST {
        tell_what_is_left_out(&machine);
    }
    Ok((Made { root, place, own, record }, more))
}

/// podman's `--replace`: the container called `name` goes, even if it runs. One that only has an id that begins so is another.
fn replace(site: Site<'_>, name: &str) -> engine::Result<()> {
    match site.root.find_container(name) {
        Ok(record) if record.name == name => engine::life::remove::remove(site, &record, true),
        Err(e) if !matches!(e.kind, store::Kind::NotFound | store::Kind::Ambiguous) => Err(engine::error::store(e)),
        _ => Ok(()),
    }
}

/// The image a request names.
pub(crate) fn base(request: &Request, root: &Root) -> engine::Result<Base> {
    if request.image == HOST {
        return Ok(Base::host());
    }
    if request.manner.rootfs {
        return Base::folder(&request.image);
    }
    let image = engine::images::resolve(root, &request.image).map_err(engine::error::store)?;
    if let Some(wanted) = &request.platform {
        image.is_of(wanted)?;
    }
    Ok(Base {
        id: Some(image.id),
        layers: image.layers,
        defaults: Defaults::of_image(&image.config).with_docker(&image.raw),
    })
}

/// Says a word once: becoming root runs us again.
fn say(word: Option<&str>) {
    if let Some(word) = word.filter(|_| !is_run_again()) {
        cli::output::complain("ctr", word);
    }
}

/// Whether an ordinary user's command is running again, as root of a user namespace.
pub(crate) fn is_run_again() -> bool {
    rustix::process::geteuid().is_root() && std::env::var_os(crate::context::AGAIN).is_some()
}

/// A container cannot ask a name server that listens on the machine's loopback alone.
fn tell_of_name_servers(request: &Request, machine: &Machine) {
    let own = matches!(plan::network(request), Network::Named(name) if !wiring::is_users_program(&name));
    if own && resolver::is_local_only(&machine.resolv_conf) && request.wiring.dns.is_empty() {
        let instead = resolver::FALLBACK.join(" and ");
        say(Some(&format!(
            "this machine's name servers listen on its loopback alone: {instead} are used (--dns names others)"
        )));
    }
}

/// The image `host` is the root file system alone; what else is mounted on this machine is named once.
fn tell_what_is_left_out(machine: &Machine) {
    if machine.elsewhere.is_empty() {
        return;
    }
    let shown: Vec<String> = machine.elsewhere.iter().take(6).map(|p| p.display().to_string()).collect();
    let more = match machine.elsewhere.len().saturating_sub(shown.len()) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let list = shown.join(", ");
    cli::output::complain("ctr", &format!("host: other file systems are not in view: {list}{more} (-v brings one in)"));
}
