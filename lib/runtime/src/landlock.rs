//! `--landlock-ro`, `--landlock-rw`: what of the file system the command may use at all, beside what permissions say (landlock(7)).
//!
//! Everything the kernel's version of landlock can forbid is forbidden, but below the paths given. Versions differ: before 3
//! (Linux 6.2) nothing keeps a file from being truncated, so older ones are refused unless the caller says that they will do.
//! The restriction is for good and for all descendants, and takes no_new_privs.

use crate::error::{Error, Kind, Result, invalid};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use std::path::PathBuf;

/// A path, and whether what is below it may be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As the command will see it.
    pub path: PathBuf,
    /// All may be done there; else it may be read, listed and executed.
    pub write: bool,
}

/// The version that keeps files from being changed in every way.
const ENOUGH: u32 = 3;

/// The newest version whose rights we know.
const NEWEST: ABI = ABI::V7;

/// Restricts this process to `rules`; does nothing where there are none.
pub(crate) fn restrict(rules: &[Rule], least: Option<u32>) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let say = |what: &'static str, e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Kind::Failed, "landlock", what).because(e)
    };
    let least = least.unwrap_or(ENOUGH);
    let wanted = ABI::from(i32::try_from(least).unwrap_or(i32::MAX));
    let handled = AccessFs::from_all(NEWEST);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(wanted))
        .map_err(|e| refused(least).because(e.to_string()))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)
        .map_err(|e| say("rights", e.into()))?;
    let mut created = ruleset.create().map_err(|e| refused(least).because(e.to_string()))?;
    for rule in rules {
        let open = PathFd::new(&rule.path);
        let fd = open.map_err(|e| {
            invalid("landlock", rule.path.display(), e.to_string()).hint("a path must be there, as the command sees it")
        })?;
        created = created.add_rule(PathBeneath::new(fd, rights(rule.write))).map_err(|e| say("rule", e.into()))?;
    }
    let status = created.no_new_privs(true).restrict_self().map_err(|e| say("restrict", e.into()))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(refused(least).because("is not in force".to_owned())),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn rights(write: bool) -> BitFlags<AccessFs> {
    if write { AccessFs::from_all(NEWEST) } else { AccessFs::from_read(NEWEST) }
}

fn refused(least: u32) -> Error {
    Error::new(Kind::Failed, "landlock", format!("version {least} or newer")).hint(format!(
        "it takes a kernel with landlock switched on (lsm=…,landlock): version {ENOUGH} is Linux 6.2; --landlock-abi 1 is \
         content with less, which does not keep files from being truncated"
    ))
}
