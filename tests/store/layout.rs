//! Images made by hand: small tars, and OCI layouts and archives of them, right or wrong in one place.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `sha256:…` of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    format!("sha256:{}", hash.iter().map(|b| format!("{b:02x}")).collect::<String>())
}

/// A plain tar, made of entries.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
    owner: (u32, u32),
}

impl Tar {
    /// Adds a file.
    pub(crate) fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(path, b'0', "", content)
    }

    /// Adds a symbolic link.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, b'2', target, b"")
    }

    /// Adds the device that `/dev/null` is.
    pub(crate) fn device(self, path: &str) -> Self {
        self.entry(path, b'3', "", b"")
    }

    /// Whose the entries from here on are.
    pub(crate) fn owned(mut self, uid: u32, gid: u32) -> Self {
        self.owner = (uid, gid);
        self
    }

    fn entry(mut self, path: &str, kind: u8, target: &str, content: &[u8]) -> Self {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, path.as_bytes());
        put(100, b"0000644\0");
        put(108, format!("{:07o}\0", self.owner.0).as_bytes());
        put(116, format!("{:07o}\0", self.owner.1).as_bytes());
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, b"14000000000\0");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, target.as_bytes());
        put(257, b"ustar\x0000");
        if kind == b'3' {
            put(329, b"0000001\x000000003\0");
        }
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The finished tar.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

/// An OCI layout in a folder.
pub(crate) struct Layout {
    pub(crate) path: PathBuf,
    index: Vec<Value>,
}

/// One image of a layout.
pub(crate) struct Made {
    /// `sha256:…` of the configuration.
    pub(crate) id: String,
    pub(crate) manifest: String,
    /// `sha256:…` of the layers' blobs.
    pub(crate) layers: Vec<String>,
}

impl Layout {
    pub(crate) fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(path.join("blobs/sha256")).expect("a layout");
        std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("oci-layout");
        let layout = Self { path, index: Vec::new() };
        layout.write_index();
        layout
    }

    /// Where a blob is.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    fn add_blob(&self, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        std::fs::write(self.blob(&digest), bytes).expect("a blob");
        digest
    }

    fn write_index(&self) {
        let index = json!({ "schemaVersion": 2, "manifests": self.index });
        std::fs::write(self.path.join("index.json"), index.to_string()).expect("index.json");
    }

    /// Adds an image of plain tars, called `name`.
    pub(crate) fn image(&mut self, name: &str, tars: &[Vec<u8>]) -> Made {
        let diff_ids: Vec<String> = tars.iter().map(|t| digest(t)).collect();
        self.image_with(
            name,
            tars,
            &diff_ids,
            &json!({ "Cmd": ["/bin/sh"], "Env": ["A=1"], "Labels": {"a.b": "c"} }),
            "amd64",
        )
    }

    /// The same for another architecture.
    pub(crate) fn image_for(&mut self, name: &str, tars: &[Vec<u8>], architecture: &str) -> Made {
        let diff_ids: Vec<String> = tars.iter().map(|t| digest(t)).collect();
        self.image_with(name, tars, &diff_ids, &json!({}), architecture)
    }

    /// The same with other diff ids than the tars have.
    pub(crate) fn image_with(
        &mut self,
        name: &str,
        tars: &[Vec<u8>],
        diff_ids: &[String],
        config: &Value,
        architecture: &str,
    ) -> Made {
        let config = json!({
            "created": "2020-02-02T10:00:00Z", "architecture": architecture, "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": [{ "created": "2020-02-02T10:00:00Z", "created_by": "test", "comment": "by hand" }],
        });
        let config = config.to_string();
        let id = self.add_blob(config.as_bytes());
        let layers: Vec<String> = tars.iter().map(|tar| self.add_blob(tar)).collect();
        let described = tars.iter().zip(&layers).map(|(tar, digest)| {
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": tar.len() })
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": id, "size": config.len() },
            "layers": described.collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string();
        let digest = self.add_blob(manifest.as_bytes());
        let mut entry = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": manifest.len(),
            "platform": { "os": "linux", "architecture": architecture },
        });
        if !name.is_empty() {
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        }
        self.index.push(entry);
        self.write_index();
        Made { id, manifest: digest, layers }
    }

    /// The layout as one tar (an oci-archive).
    pub(crate) fn archive(&self, to: &Path) {
        tar(&self.path, to);
    }
}

fn tar(folder: &Path, to: &Path) {
    let done = Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(to).arg(".").status().expect("tar runs");
    assert!(done.success(), "tar");
}

/// A docker-archive of one image called `names`, as docker before 25 wrote it. Gives the image's id.
pub(crate) fn docker_archive(work: &Path, to: &Path, names: &[&str], tars: &[Vec<u8>]) -> String {
    std::fs::create_dir_all(work).expect("a folder");
    let diff_ids: Vec<String> = tars.iter().map(|t| digest(t)).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = config.to_string();
    let id = digest(config.as_bytes());
    let file = format!("{}.json", id.trim_start_matches("sha256:"));
    std::fs::write(work.join(&file), &config).expect("config");
    let mut paths = Vec::new();
    for (i, tar) in tars.iter().enumerate() {
        std::fs::create_dir_all(work.join(format!("layer{i}"))).expect("a folder");
        std::fs::write(work.join(format!("layer{i}/layer.tar")), tar).expect("a layer");
        paths.push(format!("layer{i}/layer.tar"));
    }
    let manifest = json!([{ "Config": file, "RepoTags": names, "Layers": paths }]);
    std::fs::write(work.join("manifest.json"), manifest.to_string()).expect("manifest.json");
    tar(work, to);
    id
}

/// A layer of `files` files with some bytes in each, different for each `seed`.
pub(crate) fn many_files(seed: &str, files: usize) -> Vec<u8> {
    let content = |i: usize| format!("{seed} {i}\n").repeat(200);
    (0..files)
        .fold(Tar::default(), |tar, i| tar.file(&format!("{seed}/{}/file{i}", i % 17), content(i).as_bytes()))
        .finish()
}
