//! Capabilities of the container's process, in the order the kernel demands around the change of user.
//!
//! ```text
//! Plan::of         what was asked for, less what this process has not got
//! before_ids       ambient emptied, bounding set cut (needs CAP_SETPCAP, so while still root), keepcaps on
//! (the caller)     setgroups, setresgid, setresuid
//! after_ids        keepcaps off, effective + permitted + inheritable in one capset, then ambient one by one
//! ```
//!
//! Nothing can be gained: a capability that is asked for and not held is left out and reported, as a container that asks for more
//! than its runtime has still starts under runc and crun, with a warning. Sets are masks by the kernel's numbers.
//! See capabilities(7); in the kernel `cap_capset`, `cap_task_prctl`, `cap_bprm_creds_from_file` (security/commoncap.c).

use crate::error::{Result, failed};
use spec::capability::{from_number, number};
use spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use sys::capability::Sets;

/// The five sets a process is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    bounding: u64,
    sets: Sets,
    ambient: u64,
    missing: u64,
}

impl Plan {
    /// The sets of `asked`, as far as the calling thread can give them. `None` and sets that are left out mean none.
    pub fn of(asked: Option<&LinuxCapabilities>) -> Result<Self> {
        let held = sys::capability::get().map_err(|e| failed("capget", "", e))?;
        let wanted = mask(asked.and_then(|caps| caps.bounding().as_ref()));
        Ok(Self::within(asked, held, sys::capability::bounding_within(wanted)))
    }

    fn within(asked: Option<&LinuxCapabilities>, held: Sets, bounding: u64) -> Self {
        let set =
            |pick: fn(&LinuxCapabilities) -> &Option<Capabilities>| mask(asked.and_then(|caps| pick(caps).as_ref()));
        let wanted = Sets {
            effective: set(LinuxCapabilities::effective),
            permitted: set(LinuxCapabilities::permitted),
            inheritable: set(LinuxCapabilities::inheritable),
        };
        let (wanted_bounding, wanted_ambient) = (set(LinuxCapabilities::bounding), set(LinuxCapabilities::ambient));
        let permitted = wanted.permitted & held.permitted;
        let bounding = wanted_bounding & bounding;
        // cap_capset: inheritable grows only by what is bounded, and (without CAP_SETPCAP) permitted.
        let inheritable = wanted.inheritable & (held.inheritable | (held.permitted & bounding));
        let sets = Sets { effective: wanted.effective & permitted, permitted, inheritable };
        let ambient = wanted_ambient & permitted & inheritable;
        let missing = (wanted.effective & !sets.effective)
            | (wanted.permitted & !permitted)
            | (wanted.inheritable & !inheritable)
            | (wanted_bounding & !bounding)
            // Ambient without inheritable cannot be, whoever asks (capabilities(7)); runc's own template does.
            | (wanted_ambient & wanted.inheritable & !ambient);
        Self { bounding, sets, ambient, missing }
    }

    /// What was asked for and cannot be had; the caller warns of them.
    pub fn missing(&self) -> Vec<Capability> {
        (0..64).filter(|n| self.missing & 1 << n != 0).filter_map(from_number).collect()
    }

    /// Leaves a capability out of every set: [`Capability::Mknod`] where no device list could be set up.
    pub fn leave_out(&mut self, capability: Capability) {
        let others = !bit(capability);
        self.bounding &= others;
        self.ambient &= others;
        self.sets.effective &= others;
        self.sets.permitted &= others;
        self.sets.inheritable &= others;
    }

    /// The part that needs to be root still: cuts the bounding set and has the rest survive the change of user ids.
    pub fn before_ids(&self) -> Result<()> {
        // EINVAL: a kernel before 4.3 has no ambient set, so it is empty.
        if let Err(error) = sys::capability::clear_ambient()
            && error.raw_os_error() != Some(libc::EINVAL)
        {
            return Err(failed("clear ambient capabilities", "", error));
        }
        sys::capability::keep_bounding(self.bounding)
            .map_err(|(n, e)| failed("drop capability from the bounding set", shown(n), e))?;
        sys::capability::keep_over_setuid(true).map_err(|e| failed("keep capabilities", "", e))
    }

    /// The part after the ids are those of the container's user: gives up everything else.
    ///
    /// CAP_SYS_ADMIN, which a filter without no_new_privs needs, is gone after this unless it was asked for: install
    /// the filter first.
    pub fn after_ids(&self) -> Result<()> {
        sys::capability::keep_over_setuid(false).map_err(|e| failed("keep capabilities", "", e))?;
        sys::capability::set(self.sets).map_err(|e| failed("capset", "", e))?;
        for n in (0..64).filter(|n| self.ambient & 1 << n != 0) {
            sys::capability::raise_ambient(n).map_err(|e| failed("raise ambient capability", shown(n), e))?;
        }
        Ok(())
    }
}

/// The whole of it for a caller whose user stays as it is: returns what could not be had.
pub fn apply(asked: Option<&LinuxCapabilities>) -> Result<Vec<Capability>> {
    let plan = Plan::of(asked)?;
    plan.before_ids()?;
    plan.after_ids()?;
    Ok(plan.missing())
}

/// What this process holds, less `drop`; with `add` alone nothing changes, since nothing can be gained.
pub fn restrict(drop: &[Capability], add: &[Capability]) -> Result<()> {
    let held = sys::capability::get().map_err(|e| failed("capget", "", e))?;
    let gone = drop.iter().filter(|c| !add.contains(c)).fold(0, |all, c| all | bit(*c));
    let mut sets = held;
    sets.effective &= !gone;
    sets.permitted &= !gone;
    sets.inheritable &= !gone;
    let plan = Plan { bounding: sys::capability::bounding() & !gone, sets, ambient: 0, missing: 0 };
    plan.before_ids()?;
    plan.after_ids()
}

/// Has what this process holds survive the exec of a user who is not root: raised into the ambient set.
pub fn keep_over_exec() -> Result<()> {
    let mut sets = sys::capability::get().map_err(|e| failed("capget", "", e))?;
    sets.inheritable = sets.permitted;
    sys::capability::set(sets).map_err(|e| failed("capset", "", e))?;
    for n in (0..64).filter(|n| sets.permitted & 1 << n != 0) {
        sys::capability::raise_ambient(n).map_err(|e| failed("raise ambient capability", shown(n), e))?;
    }
    Ok(())
}

fn bit(capability: Capability) -> u64 {
    1_u64.checked_shl(number(capability).into()).unwrap_or(0)
}

fn mask(set: Option<&Capabilities>) -> u64 {
    set.into_iter().flatten().fold(0, |mask, capability| mask | bit(*capability))
}

fn shown(n: u8) -> String {
    from_number(n).map_or_else(|| n.to_string(), spec::capability::name)
}

#[cfg(test)]
mod tests {
    use super::{Plan, bit, mask};
    use spec::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};
    use sys::capability::Sets;

    fn all_five(set: &[Capability]) -> LinuxCapabilities {
        let set: Capabilities = set.iter().copied().collect();
        LinuxCapabilitiesBuilder::default()
            .bounding(set.clone())
            .effective(set.clone())
            .permitted(set.clone())
            .inheritable(set.clone())
            .ambient(set)
            .build()
            .unwrap()
    }

    const EVERYTHING: u64 = (1 << 41) - 1;
    const ROOT: Sets = Sets { effective: EVERYTHING, permitted: EVERYTHING, inheritable: 0 };

    #[test]
    fn what_is_asked_for_is_given() {
        let plan = Plan::within(Some(&all_five(&[Capability::Kill, Capability::Chown])), ROOT, EVERYTHING);
        let both = bit(Capability::Kill) | bit(Capability::Chown);
        assert_eq!(plan.sets, Sets { effective: both, permitted: both, inheritable: both });
        assert_eq!((plan.bounding, plan.ambient), (both, both));
        assert!(plan.missing().is_empty());
    }

    #[test]
    fn what_is_not_held_is_left_out_and_named() {
        let without = EVERYTHING & !bit(Capability::SysResource);
        let held = Sets { effective: without, permitted: without, inheritable: 0 };
        let asked = all_five(&[Capability::Kill, Capability::SysResource]);
        let plan = Plan::within(Some(&asked), held, without);
        assert_eq!(plan.missing(), [Capability::SysResource]);
        assert_eq!(plan.sets.permitted, bit(Capability::Kill));
        assert_eq!(plan.bounding, bit(Capability::Kill));
    }

    #[test]
    fn no_document_means_no_capability() {
        let plan = Plan::within(None, ROOT, EVERYTHING);
        assert_eq!(plan, Plan { bounding: 0, sets: Sets::default(), ambient: 0, missing: 0 });
    }

    #[test]
    fn ambient_needs_permitted_and_inheritable() {
        let mut asked = all_five(&[Capability::Kill]);
        asked.set_inheritable(None);
        let plan = Plan::within(Some(&asked), ROOT, EVERYTHING);
        assert_eq!(plan.ambient, 0);
        assert!(plan.missing().is_empty(), "as with runc nobody is told");
    }

    #[test]
    fn leaving_one_out_takes_it_from_every_set() {
        let asked = all_five(&[Capability::Mknod, Capability::Kill]);
        let mut plan = Plan::within(Some(&asked), ROOT, EVERYTHING);
        plan.leave_out(Capability::Mknod);
        let kill = mask(Some(&[Capability::Kill].into_iter().collect()));
        assert_eq!((plan.bounding, plan.ambient, plan.sets.permitted), (kill, kill, kill));
    }
}
