//! The shapes of what docker's `version` shows, as in docker's client 28.

use crate::format::shape::{Field, Layout, Shape};

const TEXT: &Shape = &Shape::Text;

const fn of(name: &'static str) -> Field {
    Field::of(name, TEXT)
}

const fn maybe(name: &'static str) -> Field {
    Field::maybe(name, TEXT)
}

/// Both halves.
pub(super) static VERSION_INFO: Shape = Shape::Struct(&Layout {
    name: "system.versionInfo",
    fields: &[Field::of("Client", &CLIENT_VERSION), Field::of("Server", &Shape::Pointer(&SERVER))],
});

/// The client's half; `info` has it too.
pub(in crate::command) static CLIENT_VERSION: Shape = Shape::Struct(&Layout {
    name: "system.clientVersion",
    fields: &[
        Field::maybe("Platform", &Shape::Pointer(&PLATFORM)),
        maybe("Version"),
        maybe("APIVersion").named("ApiVersion"),
        maybe("DefaultAPIVersion"),
        maybe("GitCommit"),
        maybe("GoVersion"),
        maybe("Os"),
        maybe("Arch"),
        maybe("BuildTime"),
        of("Context"),
    ],
});

static SERVER: Shape = Shape::Struct(&Layout {
    name: "types.Version",
    fields: &[
        Field::maybe("Platform", &PLATFORM),
        Field::maybe("Components", &Shape::List(&COMPONENT)),
        of("Version"),
        of("APIVersion").named("ApiVersion"),
        maybe("MinAPIVersion"),
        of("GitCommit"),
        of("GoVersion"),
        of("Os"),
        of("Arch"),
        maybe("KernelVersion"),
        Field::maybe("Experimental", &Shape::Bool),
        maybe("BuildTime"),
    ],
});

static PLATFORM: Shape = Shape::Struct(&Layout { name: "struct { Name string }", fields: &[of("Name")] });

static COMPONENT: Shape = Shape::Struct(&Layout {
    name: "types.ComponentVersion",
    fields: &[of("Name"), of("Version"), Field::maybe("Details", &Shape::Map(TEXT))],
});
