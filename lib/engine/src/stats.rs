//! What a container uses: the OCI runtime's `events --stats` (runc's document), and its interfaces' counters.
//!
//! As docker counts: memory without the page cache that can go at once, never a limit above what the machine has, the machine's
//! own network as nothing, processor time in parts of one processor between two looks.

use crate::life::{Asked, Site};
use crate::request::Network;
use crate::tools::Tools;
use crate::{Error, Kind, Result, execute, plan};
use serde_json::Value;
use std::time::Instant;
use store::{Record, State};

/// One look.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Processor time up to now, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in use, in bytes.
    pub memory: u64,
    /// How much it may use, in bytes.
    pub memory_limit: u64,
    /// Memory that is no page cache, in bytes.
    pub unreclaimable: u64,
    /// Bytes received and sent.
    pub network: (u64, u64),
    /// Bytes read and written.
    pub block: (u64, u64),
    /// Processes and threads.
    pub pids: u64,
}

impl Sample {
    /// Processor time between `earlier` and now, in percent of one processor.
    pub fn cpu_percent(&self, earlier: &Self) -> f64 {
        let span = self.at.duration_since(earlier.at).as_nanos() as f64;
        let used = self.cpu_ns.saturating_sub(earlier.cpu_ns) as f64;
        if span > 0.0 { used / span * 100.0 } else { 0.0 }
    }

    /// Memory in use, in percent of the limit.
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 { 0.0 } else { self.memory as f64 / self.memory_limit as f64 * 100.0 }
    }
}

/// Looks at a container that runs.
pub fn sample<A>(site: Site<'_>, record: &Record<A>, asked: &Asked, state: &State) -> Result<Sample> {
    let tools = Tools::new(&asked.request.programs, site.own.to_owned());
    let mut command = execute::runtime(&tools, &site.place.runtime());
    command.args(["events", "--stats", record.id.as_str()]).stdin(std::process::Stdio::null());
    let said = execute::run(command, "runtime events")?;
    let document: Value = serde_json::from_slice(&said)
        .map_err(|e| Error::new(Kind::Failed, "read statistics of", record.id.short()).because(e))?;
    let own_network = plan::network(&asked.request) != Network::Host;
    let network = state.process.filter(|_| own_network).map(|process| {
        let path = format!("/proc/{}/net/dev", process.pid);
        interfaces(&std::fs::read_to_string(path).unwrap_or_default())
    });
    Ok(read(&document["data"], network.unwrap_or_default(), machine_memory()))
}

fn read(data: &Value, network: (u64, u64), machine_memory: u64) -> Sample {
    let number = |pointer: &str| data.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let raw = |name: &str| data["memory"]["raw"][name].as_u64();
    let usage = number("/memory/usage/usage");
    // v1 counts below its group too, by names of their own.
    let inactive = raw("total_inactive_file").or_else(|| raw("inactive_file")).unwrap_or(0);
    let cache = match (raw("total_cache"), raw("file")) {
        (Some(cache), _) => cache.saturating_sub(raw("total_shmem").unwrap_or(0)),
        (None, Some(cache)) => cache.saturating_sub(raw("shmem").unwrap_or(0)),
        (None, None) => 0,
    };
    let limit = number("/memory/usage/limit");
    let transfers = |letter: char| {
        let all = data["blkio"]["ioServiceBytesRecursive"].as_array().into_iter().flatten();
        let of = |entry: &&Value| entry["op"].as_str().is_some_and(|op| op.to_ascii_lowercase().starts_with(letter));
        all.filter(of).filter_map(|entry| entry["value"].as_u64()).sum()
    };
    Sample {
        at: Instant::now(),
        cpu_ns: number("/cpu/usage/total"),
        memory: if inactive < usage { usage - inactive } else { usage },
        memory_limit: if limit == 0 || limit > machine_memory { machine_memory } else { limit },
        unreclaimable: usage.saturating_sub(cache),
        network,
        block: (transfers('r'), transfers('w')),
        pids: number("/pids/current"),
    }
}

/// Bytes received and sent by all interfaces but `lo`: `/proc/PID/net/dev`.
fn interfaces(text: &str) -> (u64, u64) {
    let line = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let mut counters = counters.split_whitespace().map(|n| n.parse::<u64>().ok());
        let received = counters.next()??;
        let sent = counters.nth(7)??;
        (name.trim() != "lo").then_some((received, sent))
    };
    text.lines().filter_map(line).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// All of the machine's memory, in bytes.
pub fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn interfaces_but_lo() {
        let text = "Inter-|   Receive |  Transmit\n face |bytes packets\n\
                    \x20   lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n\
                    \x20 eth0:    7000       9    0    0    0     0          0         0      500       3    0    0    0     0       0          0\n\
                    \x20 eth1:      11       9    0    0    0     0          0         0       22       3    0    0    0     0       0          0\n";
        assert_eq!(interfaces(text), (7011, 522));
    }

    #[test]
    fn both_versions_of_cgroups() {
        let v1 = json!({
            "cpu": { "usage": { "total": 5000 } },
            "memory": { "usage": { "usage": 1000, "limit": 9_223_372_036_854_771_712_u64 },
                        "raw": { "total_inactive_file": 300, "total_cache": 400, "total_shmem": 50, "inactive_file": 1 } },
            "pids": { "current": 3 },
            "blkio": { "ioServiceBytesRecursive": [{ "op": "Read", "value": 7 }, { "op": "Write", "value": 8 },
                                                   { "op": "Total", "value": 15 }, { "op": "Read", "value": 1 }] },
        });
        let sample = read(&v1, (1, 2), 1 << 30);
        assert_eq!((sample.memory, sample.memory_limit, sample.unreclaimable), (700, 1 << 30, 650));
        assert_eq!((sample.block, sample.pids, sample.cpu_ns, sample.network), ((8, 8), 3, 5000, (1, 2)));
        let v2 = json!({ "memory": { "usage": { "usage": 1000, "limit": 2000 }, "raw": { "inactive_file": 100, "file": 200 } } });
        let sample = read(&v2, (0, 0), 1 << 30);
        assert_eq!((sample.memory, sample.memory_limit, sample.unreclaimable), (900, 2000, 800));
        assert!((sample.memory_percent() - 45.0).abs() < 1e-9);
    }

    #[test]
    fn processor_time_between_two_looks() {
        let first = read(&json!({}), (0, 0), 1);
        let mut second = first.clone();
        second.at += std::time::Duration::from_secs(2);
        second.cpu_ns = 3_000_000_000;
        assert!((second.cpu_percent(&first) - 150.0).abs() < 1e-9);
        assert!(first.cpu_percent(&second) == 0.0);
    }
}
