//! The few members of image documents that are read here; all others stay in the raw bytes. (image-spec 1.1: index,
//! manifest, config; Docker's image specification 1.2: manifest.json.)

use serde::Deserialize;
use spec::{DiffId, Platform};
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) platform: Option<DescriptorPlatform>,
    pub(super) artifact_type: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DescriptorPlatform {
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) variant: Option<String>,
}

/// An index or a manifest: which of the two, its media type or else its members tell.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Manifest {
    pub(super) schema_version: Option<u64>,
    pub(super) media_type: Option<String>,
    pub(super) artifact_type: Option<String>,
    pub(super) manifests: Option<Vec<Descriptor>>,
    pub(super) config: Option<Descriptor>,
    pub(super) layers: Option<Vec<Descriptor>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) variant: Option<String>,
    pub(super) rootfs: Option<RootFs>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RootFs {
    #[serde(default)]
    pub(super) diff_ids: Option<Vec<DiffId>>,
}

/// One image of a docker-archive.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
}

pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// On the manifests of provenance and signatures that BuildKit puts into an index beside the images.
pub(super) const ATTESTATION: &str = "vnd.docker.reference.type";

impl Config {
    pub(super) fn platform(&self) -> Platform {
        let machine = Platform::machine();
        let or = |text: &str, other: String| if text.is_empty() { other } else { text.to_owned() };
        Platform {
            os: or(&self.os, machine.os),
            architecture: or(&self.architecture, machine.architecture),
            variant: self.variant.clone().filter(|v| !v.is_empty()),
        }
    }
}
