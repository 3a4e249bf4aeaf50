//! Whose a kernel parameter is: below which names are those that a namespace has for itself (sysctl(5), namespaces(7)).

/// Parameters of an ipc namespace that stand alone, as docker lists them; beside them all below `fs.mqueue.`.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Whether the parameter `name`, with dots, is an ipc namespace's.
pub fn is_of_ipc(name: &str) -> bool {
    IPC.contains(&name) || name.starts_with("fs.mqueue.")
}

/// Whether it is a network namespace's.
pub fn is_of_net(name: &str) -> bool {
    name.starts_with("net.")
}

#[cfg(test)]
mod tests {
    use super::{is_of_ipc, is_of_net};

    #[test]
    fn parameters_have_their_namespaces() {
        assert!(["kernel.sem", "fs.mqueue.msg_max"].into_iter().all(is_of_ipc));
        assert!(is_of_net("net.ipv4.ip_forward") && !is_of_ipc("net.ipv4.ip_forward"));
        for machines in ["kernel.core_pattern", "vm.swappiness", "kernel.semx", "network", "fs.mqueue"] {
            assert!(!is_of_ipc(machines) && !is_of_net(machines), "{machines}");
        }
    }
}
