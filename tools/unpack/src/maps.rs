//! `--uid-map`, `--gid-map` and `--idmap`, as every verb has them: a layer's ids and this machine's.

use cli::Failure;
use layer::owners::{self, IdMaps, Run};

/// As typed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MapArgs {
    /// The layer's users from C on are the machine's from H on, N of them [default: 1]; can be repeated
    #[arg(long, value_name = "C:H[:N]")]
    uid_map: Vec<String>,

    /// The same for groups
    #[arg(long, value_name = "C:H[:N]")]
    gid_map: Vec<String>,

    /// Both at once; auto: your id as 0, then your ranges of /etc/subuid and /etc/subgid
    #[arg(long, value_name = "C:H[:N]|auto")]
    idmap: Vec<String>,
}

/// Checked as far as the command line alone allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Map {
    Of(IdMaps),
    /// The caller's own id and ranges of subordinate ids.
    OfUser,
}

impl MapArgs {
    /// The options with what was given to each.
    fn options(&self) -> [(&'static str, &[String]); 3] {
        [("--uid-map", &self.uid_map), ("--gid-map", &self.gid_map), ("--idmap", &self.idmap)]
    }

    /// The first option that was given.
    pub(crate) fn option(&self) -> Option<&'static str> {
        self.options().iter().find(|(_, runs)| !runs.is_empty()).map(|(option, _)| *option)
    }

    /// Whether that option was given, `--uid-map` or `--gid-map`.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options().iter().any(|(name, runs)| *name == option && !runs.is_empty())
    }

    /// The map; `None` where none of the options was given.
    pub(crate) fn map(&self) -> Result<Option<Map>, Failure> {
        if self.option().is_none() {
            return Ok(None);
        }
        if self.idmap.iter().any(|text| text == "auto") {
            if self.options().iter().map(|(_, runs)| runs.len()).sum::<usize>() > 1 {
                return Err(Failure::usage("--idmap auto is a whole map; it takes no other beside it"));
            }
            return Ok(Some(Map::OfUser));
        }
        let uids = runs("--uid-map", &self.uid_map, &self.idmap)?;
        let gids = runs("--gid-map", &self.gid_map, &self.idmap)?;
        Ok(Some(Map::Of(IdMaps { uids, gids })))
    }
}

fn runs(option: &str, own: &[String], both: &[String]) -> Result<Vec<Run>, Failure> {
    let read =
        |option: &str, text: &String| text.parse::<Run>().map_err(|e| Failure::usage(format_args!("{option}: {e}")));
    let mut all = Vec::new();
    for text in own {
        all.push(read(option, text)?);
    }
    for text in both {
        all.push(read("--idmap", text)?);
    }
    owners::check(&all).map_err(|e| Failure::usage(format_args!("{option}: {e}")))?;
    Ok(all)
}

impl Map {
    /// The ids themselves: of the caller as newuidmap would map them.
    pub(crate) fn ids(&self) -> Result<IdMaps, Failure> {
        match self {
            Self::Of(ids) => Ok(ids.clone()),
            Self::OfUser => ids_of_user(),
        }
    }
}

fn ids_of_user() -> Result<IdMaps, Failure> {
    let id = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id)).ok().flatten();
    let name = user.map_or_else(|| id.to_string(), |user| user.name);
    let runs = |path: &str, own: u32| {
        let fail = |why: &dyn std::fmt::Display| {
            Failure::new(format_args!("--idmap auto: {path}: {why}"))
                .hint(format_args!("give {name} a range in /etc/subuid and /etc/subgid, or say one: --idmap C:H:N"))
        };
        let file = std::fs::read_to_string(path).map_err(|e| fail(&e))?;
        owners::from_subids(&file, &name, own).map_err(|e| fail(&e))
    };
    Ok(IdMaps { uids: runs("/etc/subuid", id)?, gids: runs("/etc/subgid", group)? })
}
