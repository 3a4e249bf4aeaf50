//! Options of `ctr run` and `ctr create`. What a container may use of the machine: docker's resource options.
//!
//! Values come as text and are read by [`engine::request::limits`]: so a wrong one is told in docker's words.

use cli::failure::Failure;
use engine::limits::Advice;
use engine::machine::Machine;
use engine::request::Request;
use engine::request::limits::{DeviceLimit, Limits, Ulimit, cpus, number, size, small};

/// What it may use, as `update` can change it too.
#[derive(Debug, Default, PartialEq, clap::Args)]
#[group(skip)]
pub(crate) struct Changeable {
    /// Memory it may use: 64m, 1.5g
    #[arg(short, long, value_name = "BYTES", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory and swap together; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Memory it is left with when memory becomes scarce
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_reservation: Option<String>,
    /// Accepted: kernels have no such limit any more
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, hide = true)]
    kernel_memory: Option<String>,
    /// Number of processors it may use: 1.5
    #[arg(long, value_name = "DECIMAL", allow_hyphen_values = true)]
    cpus: Option<String>,
    /// Period of the processor quota, in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_period: Option<String>,
    /// Processor time it may use a period, in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_quota: Option<String>,
    /// Its weight against others who want the processor
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    cpu_shares: Option<String>,
    /// Period of the real-time quota, in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_rt_period: Option<String>,
    /// Real-time processor time it may use a period, in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<String>,
    /// Processors it may use: 0-3, 0,1
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    cpuset_cpus: Option<String>,
    /// Memory nodes it may use: 0-3, 0,1
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    cpuset_mems: Option<String>,
    /// Processes and threads it may have; -1 is no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<String>,
    /// Weight of its block transfers against others', 10 to 1000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    blkio_weight: Option<String>,
}

/// What it may use.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    #[command(flatten)]
    changeable: Changeable,
    /// How readily its memory is swapped out, 0 to 100
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    memory_swappiness: Option<String>,
    /// Out of memory, its processes wait instead of being killed
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    oom_kill_disable: Option<bool>,
    /// Whom the kernel kills first when the machine is out of memory, -1000 to 1000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    oom_score_adj: Option<String>,
    /// Weight of its transfers with one disk
    #[arg(long, value_name = "DISK:WEIGHT", allow_hyphen_values = true)]
    blkio_weight_device: Vec<String>,
    /// Bytes a second it may read from a disk: /dev/sda:1mb
    #[arg(long, value_name = "DISK:RATE", allow_hyphen_values = true)]
    device_read_bps: Vec<String>,
    /// Bytes a second it may write to a disk
    #[arg(long, value_name = "DISK:RATE", allow_hyphen_values = true)]
    device_write_bps: Vec<String>,
    /// Transfers a second it may read from a disk
    #[arg(long, value_name = "DISK:RATE", allow_hyphen_values = true)]
    device_read_iops: Vec<String>,
    /// Transfers a second it may write to a disk
    #[arg(long, value_name = "DISK:RATE", allow_hyphen_values = true)]
    device_write_iops: Vec<String>,
    /// A limit of getrlimit(2): nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]", allow_hyphen_values = true)]
    ulimit: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    shm_size: Option<String>,
    /// The cgroup its own lies in
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// A file of its cgroup (v2) and what to write to it
    #[arg(long, value_name = "FILE=VALUE")]
    cgroup_conf: Vec<String>,
}

impl Changeable {
    /// Whether nothing was given.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Limits, Failure> {
        Ok(Limits {
            memory: value("-m, --memory", &self.memory, size)?,
            memory_swap: value("--memory-swap", &self.memory_swap, size_or_unlimited)?,
            memory_reservation: value("--memory-reservation", &self.memory_reservation, size)?,
            kernel_memory: value("--kernel-memory", &self.kernel_memory, size)?,
            nano_cpus: value("--cpus", &self.cpus, cpus)?,
            cpu_period: value("--cpu-period", &self.cpu_period, number)?,
            cpu_quota: value("--cpu-quota", &self.cpu_quota, number)?,
            cpu_shares: value("-c, --cpu-shares", &self.cpu_shares, number)?,
            cpu_rt_period: value("--cpu-rt-period", &self.cpu_rt_period, number)?,
            cpu_rt_runtime: value("--cpu-rt-runtime", &self.cpu_rt_runtime, number)?,
            cpuset_cpus: self.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.clone().unwrap_or_default(),
            pids: Some(value("--pids-limit", &self.pids_limit, number)?).filter(|n| *n != 0),
            blkio_weight: value("--blkio-weight", &self.blkio_weight, small)?,
            ..Limits::default()
        })
    }
}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Limits, Failure> {
        let bps = DeviceLimit::parse_bps;
        let iops = DeviceLimit::parse_iops;
        let setting = |text: &str| match text.split_once('=') {
            Some((file, value)) if !file.is_empty() => Ok((file.to_owned(), value.to_owned())),
            _ => Err(format!("bad format: {text}")),
        };
        Ok(Limits {
            memory_swappiness: self.swappiness()?,
            oom_kill_disable: self.oom_kill_disable.unwrap_or_default(),
            oom_score_adj: value("--oom-score-adj", &self.oom_score_adj, number)?,
            blkio_weight_device: list("--blkio-weight-device", &self.blkio_weight_device, DeviceLimit::parse_weight)?,
            read_bps: list("--device-read-bps", &self.device_read_bps, bps)?,
            write_bps: list("--device-write-bps", &self.device_write_bps, bps)?,
            read_iops: list("--device-read-iops", &self.device_read_iops, iops)?,
            write_iops: list("--device-write-iops", &self.device_write_iops, iops)?,
            ulimits: list("--ulimit", &self.ulimit, Ulimit::parse)?,
            shm_size: value("--shm-size", &self.shm_size, size)?,
            cgroup_parent: self.cgroup_parent.clone().unwrap_or_default(),
            cgroup_conf: list("--cgroup-conf", &self.cgroup_conf, setting)?,
            ..self.changeable.read()?
        })
    }
}

/// Examines a new container's limits on this machine, and says what was discarded; once, for becoming root runs us again.
pub(crate) fn settle(request: &mut Request, machine: &Machine) -> Result<(), Failure> {
    let advice = engine::limits::settle(&mut request.limits, machine).map_err(crate::context::run_failure)?;
    if !crate::command::create::is_run_again() {
        tell(&advice);
    }
    Ok(())
}

/// Warnings as docker's client prints them.
pub(crate) fn tell(advice: &Advice) {
    for warning in &advice.warnings {
        cli::output::err_line(&format!("WARNING: {warning}"));
    }
    for hint in &advice.hints {
        cli::output::err_line(&format!("hint: {hint}"));
    }
}

impl Options {
    /// docker's client examines this one itself.
    fn swappiness(&self) -> Result<Option<i64>, Failure> {
        if self.memory_swappiness.is_none() {
            return Ok(None);
        }
        let wanted = value("--memory-swappiness", &self.memory_swappiness, number)?;
        if wanted != -1 && !(0..=100).contains(&wanted) {
            let words = format!("invalid value: {wanted}. Valid memory swappiness range is 0-100");
            return Err(Failure::new(words).code(cli::exit::OURS));
        }
        Ok(Some(wanted))
    }
}

fn size_or_unlimited(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { size(text) }
}

/// One option's value, zero where it was not given.
fn value<T: Default>(
    flag: &str,
    text: &Option<String>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    text.as_deref().map_or_else(|| Ok(T::default()), |text| read(text).map_err(|why| wrong(flag, text, &why)))
}

/// All values of an option that can be given several times.
fn list<T, C: FromIterator<T>>(
    flag: &str,
    texts: &[String],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<C, Failure> {
    texts.iter().map(|text| read(text).map_err(|why| wrong(flag, text, &why))).collect()
}

fn wrong(flag: &str, text: &str, why: &str) -> Failure {
    Failure::new(format!("invalid argument \"{text}\" for \"{flag}\" flag: {why}")).code(cli::exit::OURS)
}
