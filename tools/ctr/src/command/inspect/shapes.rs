//! The shapes of what docker's `inspect` shows of a container: names, order, types, and what is left out when empty.
//!
//! They are those of the Go types of docker's client 28 (`api/types/container`, `network`): `--format` works on values of
//! these, so a field nobody set prints as the zero of its type. Where a name differs between Go and JSON (`ID`, `Id`) a
//! template may use both: what the type has not, the JSON behind it has.

use crate::format::shape::{ANY, BOOL, Field, INT, INT64, Layout, Shape, TEXT, TEXTS, maybe, of};

const SPAN: &Shape = &Shape::Int("time.Duration");
const LABELS: &Shape = &Shape::Map(TEXT);
const NOTHING: &Shape = &Shape::Struct(&Layout { name: "struct {}", fields: &[] });
const NAMES: &Shape = &Shape::Map(NOTHING);

/// A container.
pub(super) static CONTAINER: Shape = Shape::Struct(&Layout {
    name: "container.InspectResponse",
    fields: &[
        Field::embedded("ContainerJSONBase", &Shape::Pointer(&BASE)),
        of("Mounts", &Shape::List(&MOUNT)),
        of("Config", &Shape::Pointer(&CONFIG)),
        of("NetworkSettings", &Shape::Pointer(&NETWORKS)),
    ],
});

static BASE: Shape = Shape::Struct(&Layout {
    name: "container.ContainerJSONBase",
    fields: &[
        of("ID", TEXT).named("Id"),
        of("Created", TEXT),
        of("Path", TEXT),
        of("Args", TEXTS),
        of("State", &Shape::Pointer(&STATE)),
        of("Image", TEXT),
        of("ResolvConfPath", TEXT),
        of("HostnamePath", TEXT),
        of("HostsPath", TEXT),
        of("LogPath", TEXT),
        of("Name", TEXT),
        of("RestartCount", INT),
        of("Driver", TEXT),
        of("Platform", TEXT),
        of("MountLabel", TEXT),
        of("ProcessLabel", TEXT),
        of("AppArmorProfile", TEXT),
        of("ExecIDs", TEXTS),
        of("HostConfig", &Shape::Pointer(&HOST_CONFIG)),
        of("GraphDriver", &GRAPH),
        maybe("SizeRw", &Shape::Pointer(INT64)),
        maybe("SizeRootFs", &Shape::Pointer(INT64)),
    ],
});

static STATE: Shape = Shape::Struct(&Layout {
    name: "container.State",
    fields: &[
        of("Status", TEXT),
        of("Running", BOOL),
        of("Paused", BOOL),
        of("Restarting", BOOL),
        of("OOMKilled", BOOL),
        of("Dead", BOOL),
        of("Pid", INT),
        of("ExitCode", INT),
        of("Error", TEXT),
        of("StartedAt", TEXT),
        of("FinishedAt", TEXT),
        maybe("Health", &Shape::Pointer(&HEALTH)),
    ],
});

static HEALTH: Shape = Shape::Struct(&Layout {
    name: "container.Health",
    fields: &[of("Status", TEXT), of("FailingStreak", INT), of("Log", &Shape::List(&Shape::Pointer(&LOOK)))],
});

static LOOK: Shape = Shape::Struct(&Layout {
    name: "container.HealthcheckResult",
    fields: &[of("Start", TEXT), of("End", TEXT), of("ExitCode", INT), of("Output", TEXT)],
});

static GRAPH: Shape =
    Shape::Struct(&Layout { name: "storage.DriverData", fields: &[of("Data", LABELS), of("Name", TEXT)] });

static MOUNT: Shape = Shape::Struct(&Layout {
    name: "container.MountPoint",
    fields: &[
        maybe("Type", TEXT),
        maybe("Name", TEXT),
        of("Source", TEXT),
        of("Destination", TEXT),
        maybe("Driver", TEXT),
        of("Mode", TEXT),
        of("RW", BOOL),
        of("Propagation", TEXT),
    ],
});

/// What the image and the user say of the process.
pub(super) static CONFIG: Shape = Shape::Struct(&Layout {
    name: "container.Config",
    fields: &[
        of("Hostname", TEXT),
        of("Domainname", TEXT),
        of("User", TEXT),
        of("AttachStdin", BOOL),
        of("AttachStdout", BOOL),
        of("AttachStderr", BOOL),
        maybe("ExposedPorts", NAMES),
        of("Tty", BOOL),
        of("OpenStdin", BOOL),
        of("StdinOnce", BOOL),
        of("Env", TEXTS),
        of("Cmd", TEXTS),
        maybe("Healthcheck", &Shape::Pointer(&CHECK)),
        maybe("ArgsEscaped", BOOL),
        of("Image", TEXT),
        of("Volumes", NAMES),
        of("WorkingDir", TEXT),
        of("Entrypoint", TEXTS),
        maybe("NetworkDisabled", BOOL),
        maybe("MacAddress", TEXT),
        of("OnBuild", TEXTS),
        of("Labels", LABELS),
        maybe("StopSignal", TEXT),
        maybe("StopTimeout", &Shape::Pointer(INT)),
        maybe("Shell", TEXTS),
    ],
});

static CHECK: Shape = Shape::Struct(&Layout {
    name: "v1.HealthcheckConfig",
    fields: &[
        maybe("Test", TEXTS),
        maybe("Interval", SPAN),
        maybe("Timeout", SPAN),
        maybe("StartPeriod", SPAN),
        maybe("StartInterval", SPAN),
        maybe("Retries", INT),
    ],
});

/// What the machine does for it.
pub(super) static HOST_CONFIG: Shape = Shape::Struct(&Layout {
    name: "container.HostConfig",
    fields: &[
        of("Binds", TEXTS),
        of("ContainerIDFile", TEXT),
        of("LogConfig", &LOG),
        of("NetworkMode", TEXT),
        of("PortBindings", &PORTS),
        of("RestartPolicy", &POLICY),
        of("AutoRemove", BOOL),
        of("VolumeDriver", TEXT),
        of("VolumesFrom", TEXTS),
        of("ConsoleSize", &Shape::List(&Shape::Uint("uint"))),
        maybe("Annotations", LABELS),
        of("CapAdd", TEXTS),
        of("CapDrop", TEXTS),
        of("CgroupnsMode", TEXT),
        of("DNS", TEXTS).named("Dns"),
        of("DNSOptions", TEXTS).named("DnsOptions"),
        of("DNSSearch", TEXTS).named("DnsSearch"),
        of("ExtraHosts", TEXTS),
        of("GroupAdd", TEXTS),
        of("IpcMode", TEXT),
        of("Cgroup", TEXT),
        of("Links", TEXTS),
        of("OomScoreAdj", INT),
        of("PidMode", TEXT),
        of("Privileged", BOOL),
        of("PublishAllPorts", BOOL),
        of("ReadonlyRootfs", BOOL),
        of("SecurityOpt", TEXTS),
        maybe("StorageOpt", LABELS),
        maybe("Tmpfs", LABELS),
        of("UTSMode", TEXT),
        of("UsernsMode", TEXT),
        of("ShmSize", INT64),
        maybe("Sysctls", LABELS),
        maybe("Runtime", TEXT),
        of("Isolation", TEXT),
        Field::embedded("Resources", &RESOURCES),
        maybe("Mounts", &Shape::List(ANY)),
        of("MaskedPaths", TEXTS),
        of("ReadonlyPaths", TEXTS),
        maybe("Init", &Shape::Pointer(BOOL)),
    ],
});

static LOG: Shape =
    Shape::Struct(&Layout { name: "container.LogConfig", fields: &[of("Type", TEXT), of("Config", LABELS)] });

static POLICY: Shape = Shape::Struct(&Layout {
    name: "container.RestartPolicy",
    fields: &[of("Name", TEXT), of("MaximumRetryCount", INT)],
});

static PORTS: Shape = Shape::Map(&Shape::List(&Shape::Struct(&Layout {
    name: "nat.PortBinding",
    fields: &[of("HostIP", TEXT).named("HostIp"), of("HostPort", TEXT)],
})));

static RATES: Shape = Shape::List(&Shape::Pointer(&Shape::Struct(&Layout {
    name: "blkiodev.ThrottleDevice",
    fields: &[of("Path", TEXT), of("Rate", &Shape::Uint("uint64"))],
})));

static RESOURCES: Shape = Shape::Struct(&Layout {
    name: "container.Resources",
    fields: &[
        of("CPUShares", INT64).named("CpuShares"),
        of("Memory", INT64),
        of("NanoCPUs", INT64).named("NanoCpus"),
        of("CgroupParent", TEXT),
        of("BlkioWeight", &Shape::Uint("uint16")),
        of(
            "BlkioWeightDevice",
            &Shape::List(&Shape::Pointer(&Shape::Struct(&Layout {
                name: "blkiodev.WeightDevice",
                fields: &[of("Path", TEXT), of("Weight", &Shape::Uint("uint16"))],
            }))),
        ),
        of("BlkioDeviceReadBps", &RATES),
        of("BlkioDeviceWriteBps", &RATES),
        of("BlkioDeviceReadIOps", &RATES),
        of("BlkioDeviceWriteIOps", &RATES),
        of("CPUPeriod", INT64).named("CpuPeriod"),
        of("CPUQuota", INT64).named("CpuQuota"),
        of("CPURealtimePeriod", INT64).named("CpuRealtimePeriod"),
        of("CPURealtimeRuntime", INT64).named("CpuRealtimeRuntime"),
        of("CpusetCpus", TEXT),
        of("CpusetMems", TEXT),
        of(
            "Devices",
            &Shape::List(&Shape::Struct(&Layout {
                name: "container.DeviceMapping",
                fields: &[of("PathOnHost", TEXT), of("PathInContainer", TEXT), of("CgroupPermissions", TEXT)],
            })),
        ),
        of("DeviceCgroupRules", TEXTS),
        of("DeviceRequests", &Shape::List(ANY)),
        maybe("KernelMemory", INT64),
        maybe("KernelMemoryTCP", INT64),
        of("MemoryReservation", INT64),
        of("MemorySwap", INT64),
        of("MemorySwappiness", &Shape::Pointer(INT64)),
        of("OomKillDisable", &Shape::Pointer(BOOL)),
        of("PidsLimit", &Shape::Pointer(INT64)),
        of(
            "Ulimits",
            &Shape::List(&Shape::Pointer(&Shape::Struct(&Layout {
                name: "units.Ulimit",
                fields: &[of("Name", TEXT), of("Hard", INT64), of("Soft", INT64)],
            }))),
        ),
        of("CPUCount", INT64).named("CpuCount"),
        of("CPUPercent", INT64).named("CpuPercent"),
        of("IOMaximumIOps", &Shape::Uint("uint64")),
        of("IOMaximumBandwidth", &Shape::Uint("uint64")),
    ],
});

/// Its networks. What the second part says is of the first one: old scripts use it.
static NETWORKS: Shape = Shape::Struct(&Layout {
    name: "container.NetworkSettings",
    fields: &[
        Field::embedded(
            "NetworkSettingsBase",
            &Shape::Struct(&Layout {
                name: "container.NetworkSettingsBase",
                fields: &[
                    of("Bridge", TEXT),
                    of("SandboxID", TEXT),
                    of("SandboxKey", TEXT),
                    of("Ports", &PORTS),
                    of("HairpinMode", BOOL),
                    of("LinkLocalIPv6Address", TEXT),
                    of("LinkLocalIPv6PrefixLen", INT),
                    of("SecondaryIPAddresses", &Shape::List(ANY)),
                    of("SecondaryIPv6Addresses", &Shape::List(ANY)),
                ],
            }),
        ),
        Field::embedded(
            "DefaultNetworkSettings",
            &Shape::Struct(&Layout {
                name: "container.DefaultNetworkSettings",
                fields: &[
                    of("EndpointID", TEXT),
                    of("Gateway", TEXT),
                    of("GlobalIPv6Address", TEXT),
                    of("GlobalIPv6PrefixLen", INT),
                    of("IPAddress", TEXT),
                    of("IPPrefixLen", INT),
                    of("IPv6Gateway", TEXT),
                    of("MacAddress", TEXT),
                ],
            }),
        ),
        of("Networks", &Shape::Map(&Shape::Pointer(&ENDPOINT))),
    ],
});

static ENDPOINT: Shape = Shape::Struct(&Layout {
    name: "network.EndpointSettings",
    fields: &[
        of(
            "IPAMConfig",
            &Shape::Pointer(&Shape::Struct(&Layout {
                name: "network.EndpointIPAMConfig",
                fields: &[maybe("IPv4Address", TEXT), maybe("IPv6Address", TEXT), maybe("LinkLocalIPs", TEXTS)],
            })),
        ),
        of("Links", TEXTS),
        of("Aliases", TEXTS),
        of("MacAddress", TEXT),
        of("DriverOpts", LABELS),
        of("GwPriority", INT),
        of("NetworkID", TEXT),
        of("EndpointID", TEXT),
        of("Gateway", TEXT),
        of("IPAddress", TEXT),
        of("IPPrefixLen", INT),
        of("IPv6Gateway", TEXT),
        of("GlobalIPv6Address", TEXT),
        of("GlobalIPv6PrefixLen", INT),
        of("DNSNames", TEXTS),
    ],
});

/// An image.
pub(super) static IMAGE: Shape = Shape::Struct(&Layout {
    name: "image.InspectResponse",
    fields: &[
        of("ID", TEXT).named("Id"),
        of("RepoTags", TEXTS),
        of("RepoDigests", TEXTS),
        of("Parent", TEXT),
        of("Comment", TEXT),
        maybe("Created", TEXT),
        of("DockerVersion", TEXT),
        of("Author", TEXT),
        of("Config", &Shape::Pointer(&CONFIG)),
        of("Architecture", TEXT),
        maybe("Variant", TEXT),
        of("Os", TEXT),
        maybe("OsVersion", TEXT),
        of("Size", INT64),
        of("GraphDriver", &GRAPH),
        of(
            "RootFS",
            &Shape::Struct(&Layout { name: "image.RootFS", fields: &[maybe("Type", TEXT), maybe("Layers", TEXTS)] }),
        ),
        of("Metadata", &Shape::Struct(&Layout { name: "image.Metadata", fields: &[maybe("LastTagTime", TEXT)] })),
    ],
});
