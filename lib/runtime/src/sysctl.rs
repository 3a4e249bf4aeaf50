//! `linux.sysctl`: kernel parameters of the container's own namespaces.
//!
//! Only parameters that belong to a namespace are written, and only where the container has that namespace to itself: anything
//! else (`kernel.core_pattern`) would change the machine. The files are reached through a descriptor of the machine's /proc,
//! so that nothing the image mounts or links over /proc/sys can send a write elsewhere (CVE-2025-52881).

use crate::defence::{Defence, is_off};
use crate::error::{Error, Result, failed, invalid};
use crate::namespace::{Namespace, Namespaces};
use crate::procfs;
use std::collections::HashMap;
use std::os::fd::BorrowedFd;

/// The namespace a parameter belongs to.
fn owner(name: &str) -> Option<Namespace> {
    // The last of them is not in docker's list.
    if spec::sysctl::is_of_ipc(name) || name == "kernel.auto_msgmni" {
        Some(Namespace::Ipc)
    } else if spec::sysctl::is_of_net(name) {
        Some(Namespace::Net)
    } else if name == "kernel.domainname" || name == "kernel.hostname" {
        Some(Namespace::Uts)
    } else if name.starts_with("user.") {
        // Limits of a user namespace on what is made in it (namespaces(7)).
        Some(Namespace::User)
    } else {
        None
    }
}

/// Fails on parameters that are not the container's to set.
pub(crate) fn check(parameters: &HashMap<String, String>, namespaces: &Namespaces) -> Result<()> {
    if is_off(Defence::Sysctl) {
        return Ok(());
    }
    for name in parameters.keys() {
        let plain = name.replace('/', ".");
        let refused = |why: &str| -> Error { invalid("linux.sysctl", name, why.to_owned()) };
        let Some(kind) = owner(&plain) else { return Err(refused("is not in a separate kernel namespace")) };
        if !namespaces.apart(kind) {
            return Err(refused(&format!("is not allowed in the {} namespace of the machine", kind.name())));
        }
        if plain.split('.').any(|part| part.is_empty()) {
            return Err(refused("is no name of a parameter"));
        }
    }
    Ok(())
}

/// Writes them.
pub(crate) fn apply(proc_dir: BorrowedFd<'_>, parameters: &HashMap<String, String>) -> Result<()> {
    let mut sorted: Vec<_> = parameters.iter().collect();
    sorted.sort();
    for (name, value) in sorted {
        // `net.ipv4.conf.eth0/1.x` names the link eth0.1, as sysctl(8) has it; names with slashes are paths already.
        let path = match (name.find('.'), name.find('/')) {
            (Some(dot), Some(slash)) if slash < dot => name.clone(),
            _ => name
                .chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    c => c,
                })
                .collect(),
        };
        procfs::write(proc_dir, &format!("sys/{path}"), value.as_bytes())
            .map_err(|e| failed("write sysctl", name, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Namespace, Namespaces, check};

    #[test]
    fn only_the_containers_own_parameters_pass() {
        let own = Namespaces { new: vec![Namespace::Net, Namespace::Ipc], join: Vec::new() };
        let set = |name: &str| [(name.to_owned(), "1".to_owned())].into_iter().collect();
        assert!(check(&set("net.ipv4.ip_forward"), &own).is_ok());
        assert!(check(&set("net/ipv4/ip_forward"), &own).is_ok());
        assert!(check(&set("fs.mqueue.msg_max"), &own).is_ok());
        let error = check(&set("kernel.core_pattern"), &own).unwrap_err();
        assert_eq!(error.to_string(), "linux.sysctl kernel.core_pattern: is not in a separate kernel namespace");
        assert!(check(&set("user.max_net_namespaces"), &own).is_err());
        let error = check(&set("kernel.hostname"), &own).unwrap_err();
        assert_eq!(
            error.to_string(),
            "linux.sysctl kernel.hostname: is not allowed in the uts namespace of the machine"
        );
        assert!(check(&set("net...x"), &own).is_err());
    }
}
