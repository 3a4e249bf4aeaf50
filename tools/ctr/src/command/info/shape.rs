//! The shape of what docker's `info` shows: names, order and types of `system.Info` in docker's client 28. A member that nothing
//! here sets is there all the same, with the zero of its type.

use crate::command::version::shapes::CLIENT_VERSION;
use crate::format::shape::{ANY, BOOL, Field, INT, INT64, Layout, Shape, TEXT, TEXTS, maybe, of};

const ANYTHING: &Shape = &Shape::List(ANY);

/// All of it.
pub(super) static DOCKER_INFO: Shape = Shape::Struct(&Layout {
    name: "system.dockerInfo",
    fields: &[
        Field::embedded("Info", &Shape::Pointer(&INFO)),
        maybe("ServerErrors", TEXTS),
        maybe("ClientInfo", &Shape::Pointer(&CLIENT_INFO)),
        maybe("ClientErrors", TEXTS),
    ],
});

static INFO: Shape = Shape::Struct(&Layout {
    name: "system.Info",
    fields: &[
        of("ID", TEXT),
        of("Containers", INT),
        of("ContainersRunning", INT),
        of("ContainersPaused", INT),
        of("ContainersStopped", INT),
        of("Images", INT),
        of("Driver", TEXT),
        of("DriverStatus", &Shape::List(TEXTS)),
        maybe("SystemStatus", &Shape::List(TEXTS)),
        of("Plugins", &PLUGINS),
        of("MemoryLimit", BOOL),
        of("SwapLimit", BOOL),
        maybe("KernelMemory", BOOL),
        maybe("KernelMemoryTCP", BOOL),
        of("CPUCfsPeriod", BOOL).named("CpuCfsPeriod"),
        of("CPUCfsQuota", BOOL).named("CpuCfsQuota"),
        of("CPUShares", BOOL),
        of("CPUSet", BOOL),
        of("PidsLimit", BOOL),
        of("IPv4Forwarding", BOOL),
        of("Debug", BOOL),
        of("NFd", INT),
        of("OomKillDisable", BOOL),
        of("NGoroutines", INT),
        of("SystemTime", TEXT),
        of("LoggingDriver", TEXT),
        of("CgroupDriver", TEXT),
        maybe("CgroupVersion", TEXT),
        of("NEventsListener", INT),
        of("KernelVersion", TEXT),
        of("OperatingSystem", TEXT),
        of("OSVersion", TEXT),
        of("OSType", TEXT),
        of("Architecture", TEXT),
        of("IndexServerAddress", TEXT),
        of("RegistryConfig", ANY),
        of("NCPU", INT),
        of("MemTotal", INT64),
        of("GenericResources", ANYTHING),
        of("DockerRootDir", TEXT),
        of("HTTPProxy", TEXT).named("HttpProxy"),
        of("HTTPSProxy", TEXT).named("HttpsProxy"),
        of("NoProxy", TEXT),
        of("Name", TEXT),
        of("Labels", TEXTS),
        of("ExperimentalBuild", BOOL),
        of("ServerVersion", TEXT),
        of("Runtimes", &Shape::Map(&RUNTIME)),
        of("DefaultRuntime", TEXT),
        of("Swarm", &SWARM),
        of("LiveRestoreEnabled", BOOL),
        of("Isolation", TEXT),
        of("InitBinary", TEXT),
        of("ContainerdCommit", &COMMIT),
        of("RuncCommit", &COMMIT),
        of("InitCommit", &COMMIT),
        of("SecurityOptions", TEXTS),
        maybe("ProductLicense", TEXT),
        maybe("DefaultAddressPools", ANYTHING),
        of("CDISpecDirs", TEXTS),
        of("Warnings", TEXTS),
    ],
});

static PLUGINS: Shape = Shape::Struct(&Layout {
    name: "system.PluginsInfo",
    fields: &[of("Volume", TEXTS), of("Network", TEXTS), of("Authorization", TEXTS), of("Log", TEXTS)],
});

static RUNTIME: Shape = Shape::Struct(&Layout {
    name: "system.RuntimeWithStatus",
    fields: &[
        maybe("Path", TEXT).named("path"),
        maybe("Args", TEXTS).named("runtimeArgs"),
        maybe("Status", &Shape::Map(TEXT)).named("status"),
    ],
});

static SWARM: Shape = Shape::Struct(&Layout {
    name: "swarm.Info",
    fields: &[
        of("NodeID", TEXT),
        of("NodeAddr", TEXT),
        of("LocalNodeState", TEXT),
        of("ControlAvailable", BOOL),
        of("Error", TEXT),
        of("RemoteManagers", ANYTHING),
        maybe("Nodes", INT),
        maybe("Managers", INT),
        maybe("Warnings", TEXTS),
    ],
});

static COMMIT: Shape = Shape::Struct(&Layout { name: "system.Commit", fields: &[of("ID", TEXT)] });

static CLIENT_INFO: Shape = Shape::Struct(&Layout {
    name: "system.clientInfo",
    fields: &[
        of("Debug", BOOL),
        Field::embedded("clientVersion", &CLIENT_VERSION),
        of("Plugins", ANYTHING),
        of("Warnings", TEXTS),
    ],
});
