//! `linux.memoryPolicy`: the memory nodes a container's pages come from (set_mempolicy(2)). The policy is inherited by what the program
//! forks and kept over execve, so it is set once, by each process that goes into the container: the first, and those of `exec`.

use crate::error::{Result, failed, invalid};
use crate::numbers;
use spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType};

/// As many as any kernel is built for (`MAX_NUMNODES`).
const MAX_NODES: usize = 1024;

/// What the kernel is to be told.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    mode: i32,
    nodes: Vec<u64>,
}

/// Fails on a policy that makes no sense.
pub(crate) fn check(policy: &LinuxMemoryPolicy) -> Result<()> {
    wanted(policy).map(drop)
}

/// Takes the policy for this process and its children.
pub(crate) fn apply(policy: &LinuxMemoryPolicy) -> Result<()> {
    let Wanted { mode, nodes } = wanted(policy)?;
    sys::memory_policy::set(mode, &nodes).map_err(|e| {
        let of = format!("{} {}", policy.mode(), policy.nodes().as_deref().unwrap_or_default());
        failed("set linux.memoryPolicy", of.trim_end(), e)
            .hint("the nodes there are: /sys/devices/system/node/has_memory; MPOL_WEIGHTED_INTERLEAVE needs Linux 6.9")
    })
}

fn wanted(policy: &LinuxMemoryPolicy) -> Result<Wanted> {
    use MemoryPolicyFlagType as F;
    use MemoryPolicyModeType as M;
    let refused = |why: String| invalid("linux.memoryPolicy", policy.mode(), why);
    // <linux/mempolicy.h>
    let (mode, takes_nodes) = match policy.mode() {
        M::MpolDefault => (0, false),
        M::MpolPreferred => (1, true),
        M::MpolBind => (2, true),
        M::MpolInterleave => (3, true),
        M::MpolLocal => (4, false),
        M::MpolPreferredMany => (5, true),
        M::MpolWeightedInterleave => (6, true),
    };
    let flags = policy.flags().iter().flatten().fold(0, |all, flag| {
        all | match flag {
            F::MpolFStaticNodes => 1 << 15,
            F::MpolFRelativeNodes => 1 << 14,
            F::MpolFNumaBalancing => 1 << 13,
        }
    });
    let list = policy.nodes().as_deref().map(str::trim).filter(|list| !list.is_empty());
    let mut nodes = Vec::new();
    match list {
        Some(_) if !takes_nodes => return Err(refused("takes no nodes".to_owned())),
        Some(list) => {
            for node in numbers::parse(list, MAX_NODES).map_err(|why| refused(format!("nodes: {why}")))? {
                let word = node / 64;
                if nodes.len() <= word {
                    nodes.resize(word + 1, 0);
                }
                if let Some(word) = nodes.get_mut(word) {
                    *word |= 1 << (node % 64);
                }
            }
        }
        // MPOL_PREFERRED without nodes means the node at hand.
        None if takes_nodes && policy.mode() != MemoryPolicyModeType::MpolPreferred => {
            return Err(refused("needs nodes".to_owned()));
        }
        None => {}
    }
    Ok(Wanted { mode: mode | flags, nodes })
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};

    fn of(text: &str) -> Result<Wanted, String> {
        wanted(&serde_json::from_str(text).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn modes_flags_and_nodes_become_what_the_kernel_takes() {
        let wanted = of(r#"{"mode":"MPOL_INTERLEAVE","nodes":"2-3,64","flags":["MPOL_F_STATIC_NODES"]}"#).unwrap();
        assert_eq!(wanted, Wanted { mode: 3 | 1 << 15, nodes: vec![0b1100, 1] });
        assert_eq!(of(r#"{"mode":"MPOL_DEFAULT"}"#).unwrap(), Wanted { mode: 0, nodes: vec![] });
        assert_eq!(of(r#"{"mode":"MPOL_BIND"}"#).unwrap_err(), "linux.memoryPolicy MPOL_BIND: needs nodes");
        assert_eq!(
            of(r#"{"mode":"MPOL_LOCAL","nodes":"0"}"#).unwrap_err(),
            "linux.memoryPolicy MPOL_LOCAL: takes no nodes"
        );
        assert!(of(r#"{"mode":"MPOL_BIND","nodes":"9999"}"#).is_err());
    }
}
