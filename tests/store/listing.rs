//! `ctr images`, `tag` and `rmi`: docker's columns, names and rules.

use crate::layout::{Layout, Made, Tar};
use crate::world::World;
use testkit::need;

fn one(text: &str) -> Vec<u8> {
    Tar::default().file("etc/os", text.as_bytes()).finish()
}

fn world_with(name: &str, layers: &[&str]) -> (World, Made) {
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let tars: Vec<Vec<u8>> = layers.iter().map(|t| one(t)).collect();
    let made = layout.image(name, &tars);
    world.load(&layout.path);
    (world, made)
}

fn short(id: &str) -> &str {
    &id["sha256:".len()..][..12]
}

#[test]
fn an_empty_store_has_headings_only() {
    let world = World::new();
    assert_eq!(world.ok(["images"]), "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
    assert_eq!(world.ok(["images", "-q"]), "");
}

#[test]
fn columns_fields_and_filters() {
    need!(root);
    let (world, made) = world_with("debian:12", &["a"]);
    let id = short(&made.id);
    let table = world.ok(["images"]);
    let mut lines = table.lines();
    assert_eq!(lines.next().unwrap(), "REPOSITORY   TAG       IMAGE ID       CREATED       SIZE");
    let line = lines.next().unwrap();
    assert!(
        line.starts_with(&format!("debian       12        {id}   ")) && line.ends_with(" years ago   2.05kB"),
        "{line}"
    );
    world.ok(["tag", "debian:12", "localhost/mine"]);
    assert_eq!(world.ok(["images", "-q"]), format!("{id}\n{id}\n"), "as docker: a line a name");
    assert_eq!(world.ok(["images", "-q", "--no-trunc", "debian"]), format!("{}\n", made.id));
    let format = ["images", "--format", r"{{.Repository}}\t{{.Tag}} {{.Size}} {{.CreatedAt}}", "mine"];
    assert_eq!(world.ok(format), "");
    let format = ["images", "--format", r"{{.Repository}}\t{{.Tag}} {{.Size}} {{.CreatedAt}}", "localhost/mine"];
    assert_eq!(world.ok(format), "localhost/mine\tlatest 2.05kB 2020-02-02 10:00:00 +0000 UTC\n");
    assert_eq!(world.ok(["images", "--format", "table {{.ID}}", "debian"]), format!("IMAGE ID\n{id}\n"));
    let json: serde_json::Value = serde_json::from_str(&world.ok(["images", "--format", "json", "debian"])).unwrap();
    assert_eq!((&json["ID"], &json["Digest"]), (&id.into(), &made.manifest.as_str().into()));
    assert!(world.ok(["images", "--digests"]).contains(&made.manifest));
    for (filter, count) in
        [("dangling=true", 0), ("dangling=false", 2), ("label=a.b", 2), ("label=a.b=d", 0), ("reference=deb*:1?", 1)]
    {
        assert_eq!(world.ok(["images", "-f", filter, "--format", "x"]).lines().count(), count, "{filter}");
    }
    let (said, code) = world.fails(["images", "-f", "shape=round"]);
    assert_eq!((said.lines().next(), code), (Some("ctr: Invalid filter 'shape'"), 1));
    let (said, code) = world.fails(["images", "--format", "{{.Nope}}"]);
    assert_eq!(
        (said.lines().next(), code),
        (
            Some(
                "ctr: template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.imageContext"
            ),
            1
        )
    );
}

#[test]
fn unknown_and_malformed_names_are_told_with_a_hint() {
    let world = World::new();
    world.ok(["images"]);
    for args in [["rmi", "debian:13"].as_slice(), &["tag", "debian:13", "x"]] {
        let (said, code) = world.fails(args);
        let want =
            "ctr: No such image: debian:13\nhint: `ctr images` lists what there is, `ctr load -i FILE` adds to it\n";
        assert_eq!((said.as_str(), code), (want, 1));
    }
    let (said, _) = world.fails(["rmi", "Debian"]);
    let want = "ctr: invalid reference format: repository name (library/Debian) must be lowercase\n\
        hint: \"Debian\" is not of the form [DOMAIN/]NAME[:TAG], in small letters\n";
    assert_eq!(said, want);
    let (said, code) = world.fails(["rmi"]);
    assert_eq!((said.starts_with("ctr: "), code), (true, 1));
    let (said, _) = world.fails(["rmi", "host"]);
    assert_eq!(said, "ctr: the image host is built in and cannot be removed\n");
}

#[test]
fn tag_gives_more_names_and_moves_them() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let (a, b) = (layout.image("a:1", &[one("a")]), layout.image("b:1", &[one("b")]));
    world.load(&layout.path);
    for source in ["a:1", short(&a.id), &a.id, &short(&a.id)[..6], "docker.io/library/a:1"] {
        world.ok(["tag", source, "c:1"]);
        assert_eq!(world.ok(["images", "-q", "--no-trunc", "c:1"]).trim(), a.id, "{source}");
        world.ok(["tag", "b:1", "c:1"]);
        assert_eq!(world.ok(["images", "-q", "--no-trunc", "c:1"]).trim(), b.id);
    }
    world.ok(["tag", "b:1", "a:1"]);
    let dangling = world.ok(["images", "-f", "dangling=true", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    assert_eq!(dangling, format!("<none>:<none> {}\n", short(&a.id)));
    let (said, _) = world.fails(["tag", "b:1", "host"]);
    assert!(said.starts_with("ctr: the name host belongs to the built-in image\nhint: "), "{said}");
    let (said, _) = world.fails(["tag", "b:1", &format!("x@{}", a.id)]);
    assert_eq!(said, "ctr: refusing to create a tag with a digest reference\n");
}

#[test]
fn rmi_frees_what_nobody_else_uses() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let a = layout.image("a:1", &[one("base"), one("a")]);
    layout.image("b:1", &[one("base"), one("b")]);
    world.load(&layout.path);
    world.ok(["tag", "a:1", "again:1"]);
    assert_eq!(world.ok(["rmi", "a:1"]), "Untagged: a:1\n");
    assert_eq!(world.layers().len(), 3);
    let said = world.ok(["rmi", "again:1"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["Untagged: again:1", &format!("Deleted: {}", a.id)]);
    assert_eq!(lines.len(), 3, "the layer of its own: {said}");
    assert_eq!((world.layers().len(), world.blobs().len()), (2, 4));
    world.ok(["rmi", "b:1"]);
    assert_eq!((world.layers().len(), world.blobs().len(), world.half_done()), (0, 0, 0));
    assert_eq!(std::fs::read_dir(world.root().join("overlay2/l")).unwrap().count(), 0);
}

#[test]
fn rmi_by_id_wants_force_for_several_names() {
    need!(root);
    let (world, made) = world_with("a:1", &["a"]);
    world.ok(["tag", "a:1", "quay.io/b:1"]);
    let id = short(&made.id);
    let (said, code) = world.fails(["rmi", id]);
    let want =
        format!("ctr: conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories");
    assert_eq!((said.lines().next(), code), (Some(want.as_str()), 1));
    let said = world.ok(["rmi", "-f", id]);
    assert!(said.starts_with(&format!("Untagged: a:1\nUntagged: quay.io/b:1\nDeleted: {}\n", made.id)), "{said}");
    assert_eq!(world.blobs().len(), 0);
}

/// A container's record, as far as images are concerned.
fn record(world: &World, container: &str, image: &str, status: &str) {
    let folder = world.root().join("containers").join(container);
    std::fs::create_dir_all(&folder).unwrap();
    let layers: Vec<_> = world.layers().iter().map(|l| l.join("diff")).collect();
    let json = serde_json::json!({"id": container, "name": "web", "created": "2020-02-02T10:00:00Z", "image": "a:1",
        "image_id": image, "layers": layers, "asked": {}});
    std::fs::write(folder.join("config.json"), json.to_string()).unwrap();
    std::fs::write(folder.join("state"), format!("{{\"status\":\"{status}\"}}")).unwrap();
}

#[test]
fn a_container_holds_its_image() {
    need!(root);
    let (world, made) = world_with("a:1", &["a", "b"]);
    let (container, id) = ("c".repeat(64), short(&made.id).to_owned());
    record(&world, &container, &made.id, "exited");
    let (said, code) = world.fails(["rmi", "a:1"]);
    let want = format!(
        "ctr: conflict: unable to remove repository reference \"a:1\" (must force) - container cccccccccccc is using its referenced image {id}"
    );
    assert_eq!((said.lines().next(), code), (Some(want.as_str()), 1));
    let (said, _) = world.fails(["rmi", &id]);
    assert!(said.contains("(must be forced) - image is being used by stopped container cccccccccccc"), "{said}");
    record(&world, &container, &made.id, "running");
    let (said, _) = world.fails(["rmi", "-f", &id]);
    assert!(said.contains("(cannot be forced) - image is being used by running container cccccccccccc"), "{said}");
    assert_eq!(world.ok(["rmi", "-f", "a:1"]), "Untagged: a:1\n");
    assert_eq!(world.ok(["images", "-q"]).trim(), id, "it stays, without a name");
    record(&world, &container, &made.id, "exited");
    assert_eq!(world.ok(["rmi", "-f", &id]), format!("Deleted: {}\n", made.id));
    assert_eq!(world.layers().len(), 2, "the container still stands on them");
    std::fs::remove_dir_all(world.root().join("containers").join(&container)).unwrap();
    let mut layout = Layout::new(world.path("other"));
    layout.image("other:1", &[one("x")]);
    world.load(&layout.path);
    assert_eq!(world.layers().len(), 1, "and the next command that changes images takes them");
}

#[test]
fn inspect_has_dockers_fields() {
    need!(root);
    let (world, made) = world_with("debian:12", &["a", "b"]);
    world.ok(["tag", "debian:12", "localhost/mine:1"]);
    let all: serde_json::Value = serde_json::from_str(&world.ok(["inspect", "--type", "image", "debian:12"])).unwrap();
    let image = &all[0];
    assert_eq!(image["Id"], made.id.as_str());
    assert_eq!(image["RepoTags"], serde_json::json!(["debian:12", "localhost/mine:1"]));
    assert_eq!(image["RepoDigests"][0], format!("debian@{}", made.manifest));
    assert_eq!(image["RootFS"]["Layers"], serde_json::json!(made.layers), "plain tars: the diff ids are the digests");
    assert_eq!(image["Created"], "2020-02-02T10:00:00Z");
    assert_eq!((&image["Os"], &image["Architecture"]), (&"linux".into(), &"amd64".into()));
    assert_eq!(image["Comment"], "by hand");
    assert_eq!(image["Size"], 2 * 2048);
    assert_eq!(image["Config"]["Cmd"], serde_json::json!(["/bin/sh"]));
    assert!(image["Config"]["Entrypoint"].is_null() && image["Config"]["User"] == "");
    let top = image["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(std::path::Path::new(top).join("etc/os")).unwrap(), "b");
    let name = format!("debian@{}", made.manifest);
    assert_eq!(
        world.ok(["inspect", "-f", "{{.Id}} {{index .Config.Labels \"a.b\"}}", &name]),
        format!("{} c\n", made.id)
    );
    assert_eq!(world.ok(["inspect", "-f", "{{json .Config.Env}}", short(&made.id)]), "[\"A=1\"]\n");
}

#[test]
fn removals_at_once_free_everything() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let names: Vec<String> = (0..6).map(|i| format!("a{i}:1")).collect();
    for name in &names {
        layout.image(name, &[one("base"), one(name)]);
    }
    world.load(&layout.path);
    let all: Vec<_> = names
        .iter()
        .map(|name| world.ctr(["rmi", name]).stdout(std::process::Stdio::null()).spawn().unwrap())
        .collect();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    assert_eq!((world.layers().len(), world.blobs().len(), world.half_done()), (0, 0, 0));
}
