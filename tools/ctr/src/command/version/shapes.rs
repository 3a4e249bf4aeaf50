//! The shapes of what docker's `version` shows, as in docker's client 28.

use crate::format::shape::{BOOL, Layout, Shape, TEXT, maybe, of};

/// Both halves.
pub(super) static VERSION_INFO: Shape = Shape::Struct(&Layout {
    name: "system.versionInfo",
    fields: &[of("Client", &CLIENT_VERSION), of("Server", &Shape::Pointer(&SERVER))],
});

/// The client's half; `info` has it too.
pub(in crate::command) static CLIENT_VERSION: Shape = Shape::Struct(&Layout {
    name: "system.clientVersion",
    fields: &[
        maybe("Platform", &Shape::Pointer(&PLATFORM)),
        maybe("Version", TEXT),
        maybe("APIVersion", TEXT).named("ApiVersion"),
        maybe("DefaultAPIVersion", TEXT),
        maybe("GitCommit", TEXT),
        maybe("GoVersion", TEXT),
        maybe("Os", TEXT),
        maybe("Arch", TEXT),
        maybe("BuildTime", TEXT),
        of("Context", TEXT),
    ],
});

static SERVER: Shape = Shape::Struct(&Layout {
    name: "types.Version",
    fields: &[
        maybe("Platform", &PLATFORM),
        maybe("Components", &Shape::List(&COMPONENT)),
        of("Version", TEXT),
        of("APIVersion", TEXT).named("ApiVersion"),
        maybe("MinAPIVersion", TEXT),
        of("GitCommit", TEXT),
        of("GoVersion", TEXT),
        of("Os", TEXT),
        of("Arch", TEXT),
        maybe("KernelVersion", TEXT),
        maybe("Experimental", BOOL),
        maybe("BuildTime", TEXT),
    ],
});

static PLATFORM: Shape = Shape::Struct(&Layout { name: "struct { Name string }", fields: &[of("Name", TEXT)] });

static COMPONENT: Shape = Shape::Struct(&Layout {
    name: "types.ComponentVersion",
    fields: &[of("Name", TEXT), of("Version", TEXT), maybe("Details", &Shape::Map(TEXT))],
});
