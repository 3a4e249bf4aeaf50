//! Whole images, cut off and changed at every byte: an error that names them, and no folder; or the very same folders.

use super::{gzip, room, thorough, timeless, watched};
use layer::extract::{Options, Owners, Whiteouts};
use layer::source::ImageSource;
use rustix::fs::{Mode, OFlags};
use spec::Digest;
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::Path;
use testkit::corpus::{Item, tar};
use testkit::tree::Tree;

/// A layer of its own, small and with one entry.
fn layer(name: &str) -> Vec<u8> {
    tar(&[Item::file(name, name).mode(0o640)])
}

fn hex(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

/// An oci-archive of one image with two layers.
fn oci() -> Vec<u8> {
    let layers = ["one", "two"].map(layer);
    let blobs = layers.each_ref().map(|l| gzip(l));
    let ids = layers.each_ref().map(|l| format!("\"sha256:{}\"", hex(l)));
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    );
    let told = |kind: &str, blob: &[u8]| {
        let kind = format!("application/vnd.oci.image.{kind}");
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{}","size":{}}}"#, hex(blob), blob.len())
    };
    let listed = blobs.each_ref().map(|blob| told("layer.v1.tar+gzip", blob));
    let config_told = told("config.v1+json", config.as_bytes());
    let manifest = format!(r#"{{"schemaVersion":2,"config":{config_told},"layers":[{}]}}"#, listed.join(","));
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, told("manifest.v1+json", manifest.as_bytes()));
    let mut items =
        vec![Item::file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#), Item::file("index.json", index)];
    for blob in [manifest.as_bytes(), config.as_bytes(), &blobs[0], &blobs[1]] {
        items.push(Item::file(format!("blobs/sha256/{}", hex(blob)), blob));
    }
    tar(&items)
}

/// A docker-archive of the same.
fn docker() -> Vec<u8> {
    let layers = ["one", "two"].map(layer);
    let ids = layers.each_ref().map(|l| format!("\"sha256:{}\"", hex(l)));
    let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#, ids.join(","));
    let manifest = r#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":["1/layer.tar","2/layer.tar"]}]"#;
    tar(&[
        Item::file("c.json", config),
        Item::file("1/layer.tar", &layers[0]),
        Item::file("2/layer.tar", &layers[1]),
        Item::file("manifest.json", manifest),
    ])
}

/// The folders that came of it, by name; or the error.
fn unpack(image: &[u8], dir: &Path) -> Result<BTreeMap<String, Tree>, layer::Error> {
    let mut file = tempfile::tempfile_in(room()).unwrap();
    file.write_all(image).unwrap();
    std::fs::create_dir(dir).unwrap();
    let fd = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let owners = Owners::Caller;
    let options = Options { owners, whiteouts: Whiteouts::Oci, sync: false, ..Options::default() };
    let jobs = NonZeroUsize::MIN;
    let made = ImageSource::from_file(file, "image.tar", room()).and_then(|source| match source.images() {
        [image] => layer::folders::unpack_image(&source, image, fd.as_fd(), &options, jobs),
        // What the program says where an index lists none, or several.
        other => {
            let error = layer::Error::new(layer::Kind::Choice, "", "image.tar");
            Err(error.because(format!("holds {} images", other.len())).hint("name one"))
        }
    });
    let names = || std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    match made {
        Ok(folders) => {
            let all: BTreeMap<_, _> = names().map(|name| (name.clone(), timeless(&dir.join(name)))).collect();
            assert_eq!(folders.len(), all.len());
            Ok(all)
        }
        Err(error) => {
            assert_eq!(names().collect::<Vec<_>>(), Vec::<String>::new(), "left behind after: {error}");
            Err(error)
        }
    }
}

fn check(name: &str, image: &[u8]) {
    let scratch = tempfile::Builder::new().prefix("veneer-layer.").tempdir_in(room()).unwrap();
    let dir = scratch.path().join("out");
    let whole = unpack(image, &dir).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(whole.len(), 2, "{name}");
    let mut taken = 0_usize;
    watched(name, |tell| {
        // Zeros that follow zeros are filling: a few of them stand for the others, unless all are asked for.
        let all = (0..image.len())
            .filter(|at| thorough() || *at == 0 || image[at - 1..=*at] != [0, 0] || at.is_multiple_of(128));
        for at in all {
            tell(format!("byte {at}"));
            let mut changed = image.to_vec();
            changed[at] ^= if at.is_multiple_of(2) { 1 } else { 0x80 };
            for (what, bytes) in [("cut at", &image[..at]), ("changed at", &changed[..])] {
                std::fs::remove_dir_all(&dir).unwrap();
                match unpack(bytes, &dir) {
                    Err(error) => {
                        let (line, hint) = (error.to_string(), error.hint.clone().unwrap_or_default());
                        assert!(
                            !line.is_empty() && !line.contains('\n') && !hint.contains('\n'),
                            "{name}, {what} {at}: {line}"
                        );
                    }
                    Ok(folders) => {
                        taken += 1;
                        assert_eq!(
                            folders.keys().collect::<Vec<_>>(),
                            whole.keys().collect::<Vec<_>>(),
                            "{name}, {what} {at}"
                        );
                        for (folder, tree) in &whole {
                            tree.assert_same(&folders[folder], &format!("{name}, {what} {at}: taken, and differs"));
                        }
                    }
                }
            }
        }
    });
    // Filling, times, words that nobody reads; never most of it.
    assert!(taken > 0, "{name}");
}

#[test]
fn an_oci_archive() {
    check("oci-archive", &oci());
}

#[test]
fn a_docker_archive() {
    check("docker-archive", &docker());
}
