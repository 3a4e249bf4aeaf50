//! Images made by hand: layouts of several shapes, docker-archives old and new.

use super::*;
use std::io::Write;

/// A tar of `files`; a value that starts with `->` is a symbolic link.
fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if let Some(target) = data.strip_prefix(b"->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, name, std::str::from_utf8(target).unwrap()).unwrap();
        } else {
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, name, &data[..]).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn source(files: &[(String, Vec<u8>)]) -> Result<ImageSource> {
    let folder = tempfile::tempdir().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&tar(files)).unwrap();
    ImageSource::from_file(file, "image.tar", folder.path())
}

fn config(os: &str, architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|l| format!("\"{}\"", Digest::of(l))).collect();
    format!(
        r#"{{"os":"{os}","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    )
    .into_bytes()
}

/// Collects the files of a layout.
#[derive(Default)]
struct Layout(Vec<(String, Vec<u8>)>);

impl Layout {
    /// Adds a blob; gives the members of its descriptor.
    fn blob(&mut self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes);
        self.0.push((format!("blobs/sha256/{}", digest.hex()), bytes.to_vec()));
        format!(r#""digest":"{digest}","size":{}"#, bytes.len())
    }

    fn image(&mut self, os: &str, architecture: &str, layers: &[&[u8]]) -> String {
        let config = self.blob(&config(os, architecture, layers));
        let layers: Vec<String> = layers.iter().map(|l| format!("{{{}}}", self.blob(l))).collect();
        let manifest = format!(r#"{{"schemaVersion":2,"config":{{{config}}},"layers":[{}]}}"#, layers.join(","));
        self.blob(manifest.as_bytes())
    }

    fn open(mut self, manifests: &[String]) -> Result<ImageSource> {
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, manifests.join(","));
        self.0.push(("index.json".into(), index.into_bytes()));
        self.0.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        source(&self.0)
    }
}

#[test]
fn a_docker_archive_of_old_with_a_layer_saved_once_for_two() {
    let config = config("linux", "amd64", &[b"one", b"one"]);
    let hex = Digest::of(&config).hex();
    let manifest =
        format!(r#"[{{"Config":"{hex}.json","RepoTags":["a:1","b:2"],"Layers":["x/layer.tar","y/layer.tar"]}}]"#);
    let files = [
        (format!("{hex}.json"), config.clone()),
        ("x/layer.tar".into(), b"one".to_vec()),
        ("y/layer.tar".into(), b"->../x/layer.tar".to_vec()),
        ("manifest.json".into(), manifest.into_bytes()),
    ];
    let source = source(&files).unwrap();
    let [image] = source.images() else { panic!("one image") };
    assert_eq!(image.names, ["a:1", "b:2"]);
    assert_eq!(image.config.digest, Digest::of(&config));
    assert_eq!(image.layers[0].digest, None);
    assert_eq!(image.layers[1].size_bytes, 3);
    let mut bytes = Vec::new();
    source.blob(&image.layers[1]).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"one");
    assert_eq!(image.chain_ids()[0].0, image.layers[0].diff_id.0);
    assert_ne!(image.chain_ids()[1], image.chain_ids()[0]);
}

#[test]
fn a_docker_archive_of_today_is_a_layout_whose_images_get_the_tags() {
    let mut layout = Layout::default();
    let manifest = layout.image("linux", "amd64", &[b"one"]);
    let config = Digest::of(&config("linux", "amd64", &[b"one"])).hex();
    let docker = format!(
        r#"[{{"Config":"blobs/sha256/{config}","RepoTags":["a:1","b:2"],"Layers":["blobs/sha256/{}"]}}]"#,
        Digest::of(b"one").hex()
    );
    layout.0.push(("manifest.json".into(), docker.into_bytes()));
    let annotations =
        r#""annotations":{"io.containerd.image.name":"docker.io/library/a:1","org.opencontainers.image.ref.name":"1"}"#;
    let source = layout.open(&[format!("{{{manifest},{annotations}}}")]).unwrap();
    let [image] = source.images() else { panic!("one image") };
    assert_eq!(image.names, ["docker.io/library/a:1", "b:2"]);
    assert!(image.manifest.is_some());
}

#[test]
fn an_index_of_platforms_without_its_attestations_and_what_was_not_saved() {
    let mut layout = Layout::default();
    let amd = layout.image("linux", "amd64", &[b"amd"]);
    let arm = layout.image("linux", "arm64", &[b"arm"]);
    let attestation = layout.image("unknown", "unknown", &[b"x"]);
    let gone = Digest::of(b"gone");
    let index = format!(
        r#"{{"manifests":[{{{amd}}},{{{arm}}},{{{attestation},"platform":{{"os":"unknown","architecture":"unknown"}}}},
            {{"digest":"{gone}","size":1,"platform":{{"os":"linux","architecture":"s390x"}}}}]}}"#
    );
    let index = layout.blob(index.as_bytes());
    let name = r#""annotations":{"org.opencontainers.image.ref.name":"debian:12"}"#;
    let source = layout.open(&[format!("{{{index},{name}}}")]).unwrap();
    assert_eq!(source.images().len(), 2);
    let of = |platform: &str| {
        choose(source.images(), "i", Some("debian:12"), Some(&platform.parse().unwrap())).map(|i| i.platform.clone())
    };
    assert_eq!(of("linux/arm64/v8").unwrap().architecture, "arm64");
    assert_eq!(of("linux/amd64").unwrap().architecture, "amd64");
    let error = of("linux/riscv64").unwrap_err();
    assert_eq!(error.to_string(), "i: holds no image for linux/riscv64");
    assert_eq!(error.hint.as_deref(), Some("choose with --platform one of linux/amd64, linux/arm64"));
    assert_eq!(choose(source.images(), "i", None, None).unwrap().platform, Platform::machine());
}

#[test]
fn indexes_that_name_each_other_many_times_are_read_once() {
    let mut layout = Layout::default();
    let mut inner = layout.image("linux", "amd64", &[b"one"]);
    let name = r#""annotations":{"org.opencontainers.image.ref.name":"a:1"}"#;
    for _ in 0..7 {
        let all = vec![format!("{{{inner},{name}}}"); 64].join(",");
        inner = layout.blob(format!(r#"{{"schemaVersion":2,"manifests":[{all}]}}"#).as_bytes());
    }
    let source = layout.open(&[format!("{{{inner}}}")]).unwrap();
    assert_eq!((source.images().len(), &source.images()[0].names[..]), (1, &["a:1".to_owned()][..]));
}

#[test]
fn one_of_several_images_is_chosen_by_name() {
    let mut layout = Layout::default();
    let one = layout.image("linux", "amd64", &[b"one"]);
    let two = layout.image("linux", "amd64", &[b"two"]);
    let name = |n: &str| format!(r#""annotations":{{"org.opencontainers.image.ref.name":"{n}"}}"#);
    let manifests = [format!("{{{one},{}}}", name("latest")), format!("{{{two},{}}}", name("docker.io/library/two:2"))];
    let source = layout.open(&manifests).unwrap();
    let choose = |name| choose(source.images(), "i", name, None);
    let two = choose(Some("two:2")).unwrap();
    assert_eq!(two.layers[0].diff_id.0, Digest::of(b"two"));
    assert_eq!(choose(Some("2")).unwrap(), two);
    let id = two.config.digest.hex();
    assert_eq!(super::choose(source.images(), "i", Some(&id[..12]), None).unwrap(), two);
    assert_eq!(choose(Some("anything:latest")).unwrap().names, ["latest"]);
    let error = choose(None).unwrap_err();
    assert_eq!(error.to_string(), "i: holds 2 images");
    assert_eq!(error.hint.as_deref(), Some("name one: i:REF with REF of docker.io/library/two:2, latest"));
    assert_eq!(choose(Some("three:3")).unwrap_err().to_string(), "i: holds no image three:3");
}

#[test]
fn what_is_broken_is_named() {
    let mut layout = Layout::default();
    let manifest = layout.image("linux", "amd64", &[b"one"]);
    layout.0[0].1.push(b' ');
    let path = layout.0[0].0.clone();
    let error = layout.open(&[format!("{{{manifest}}}")]).unwrap_err();
    assert_eq!(error.kind, Kind::Digest);
    assert!(error.to_string().starts_with(&format!("image.tar/{path}: digest is sha256:")), "{error}");

    let mut layout = Layout::default();
    let manifest = layout.image("linux", "amd64", &[b"one"]);
    layout.0.remove(0);
    let error = layout.open(&[format!("{{{manifest}}}")]).unwrap_err();
    assert!(error.to_string().ends_with(" is missing"), "{error}");

    let error = source(&[("etc/passwd".into(), b"x".to_vec())]).unwrap_err();
    assert_eq!(error.kind, Kind::NotAnImage);
    let error = Layout::default().open(&[r#"{"digest":"sha512:00"}"#.into()]).unwrap_err();
    assert_eq!(error.kind, Kind::Unsupported);
    let error = source(&[("manifest.json".into(), b"{".to_vec())]).unwrap_err();
    assert!(error.to_string().starts_with("image.tar: manifest.json: cannot be read: "), "{error}");
}

#[test]
fn an_archive_packed_as_a_whole_and_one_cut_short() {
    let mut layout = Layout::default();
    let manifest = layout.image("linux", "amd64", &[&[7; 4000]]);
    layout.0.push(("index.json".into(), format!(r#"{{"manifests":[{{{manifest}}}]}}"#).into_bytes()));
    layout.0.push(("oci-layout".into(), b"{}".to_vec()));
    let plain = tar(&layout.0);
    let folder = tempfile::tempdir().unwrap();
    let open = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        ImageSource::from_file(file, "image.tar", folder.path())
    };
    for level in [1, 19] {
        let packed = zstd::encode_all(&plain[..], level).unwrap();
        let source = open(&packed).unwrap();
        let mut bytes = Vec::new();
        source.blob(&source.images()[0].layers[0]).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 4000]);
        assert_eq!(open(&packed[..packed.len() - 9]).unwrap_err().kind, Kind::Truncated);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let error = open(&plain[..plain.len() / 2]).unwrap_err();
    assert_eq!(error.kind, Kind::Truncated);
    assert_eq!(open(b"hello").unwrap_err().to_string(), "image.tar: is neither a tar nor gzip nor zstd");
}

#[test]
fn an_archive_of_more_files_than_an_image_has() {
    let name = |n: usize| format!("{}{n:08}", "n/".repeat(1500));
    let mut files: Vec<(String, Vec<u8>)> = (0..11_500).map(|n| (name(n), Vec::new())).collect();
    files.push(("index.json".into(), b"{}".to_vec()));
    let error = source(&files).unwrap_err();
    assert_eq!(error.to_string(), "image.tar: holds more files than an image has");
}
