//! `ctr __complete`, and what the shells' scripts make of it, with a real TAB.

use crate::lab::{Lab, Said};
use crate::person::Person;
use std::process::Command;
use testkit::{fixture, need};

/// Containers in four states, and images.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    lab.ok(["tag", "busybox", "registry.test:5000/team/web:v1"]);
    for name in ["web", "ice"] {
        lab.ok(["run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "1000"]);
    }
    lab.ok(["pause", "ice"]);
    lab.ok(["run", "--name", "old", "--network", "none", "busybox", "true"]);
    lab.ok(["create", "--name", "new", "--network", "none", "busybox", "true"]);
    lab
}

#[test]
fn names_are_those_that_the_command_can_use() {
    need!(root, overlay, images);
    let lab = lab();
    for (words, want) in [
        ("rm ", "new old :4"),
        ("container rm -f ", "new old ice web :4"),
        ("start ", "new old :4"),
        ("stop ", "ice web :4"),
        ("exec -it ", "web :4"),
        ("exec web ", ":4"),
        ("attach ", "web :4"),
        ("unpause ", "ice :4"),
        ("run --volumes-from ", "new old ice web :4"),
        ("run --pid container:w", "container:new container:old container:ice container:web :4"),
        ("run --network container:", "container:new container:old container:ice container:web :4"),
        ("run --network ", "bridge host none :4"),
        // more has to follow: no blank ends the word
        ("run --mount type=b", "type=bind, type=image, type=tmpfs, :2"),
        ("cp we", "new: old: ice: web: :2"),
        ("cp ./fi", ":0"),
        ("rmi ", "busybox:latest registry.test:5000/team/web:v1 :4"),
        ("run ", "host busybox:latest registry.test:5000/team/web:v1 :4"),
        ("run -d busybox ", ":4"),
        ("secret rm ", ":4"),
        ("inspect --type ", "container image :4"),
        ("inspect ", "new old ice web busybox:latest registry.test:5000/team/web:v1 :4"),
        ("supervise ", ":0"),
    ] {
        let words: Vec<&str> = ["__completeNoDesc"].into_iter().chain(words.split(' ')).collect();
        let mut got: Vec<String> = lab.ok(&words).lines().map(str::to_owned).collect();
        let mut want: Vec<String> = want.split(' ').map(str::to_owned).collect();
        // which of two images comes first is nobody's promise
        got.sort();
        want.sort();
        assert_eq!(got, want, "{words:?}");
    }
    let described = lab.ok(["__complete", "rm", "--f"]);
    assert_eq!(described, "--force\tForce the removal of a running container (uses SIGKILL)\n:4\n");
    let id = lab.field("web", "{{.Id}}");
    let mut with_ids = lab.ctr(["__complete", "exec", ""]);
    with_ids.env("DOCKER_COMPLETION_SHOW_CONTAINER_IDS", "yes");
    let said: crate::lab::Said = with_ids.output().expect("ctr runs").into();
    assert_eq!(said.out, format!("{id}\nweb\n:4\n"));
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let lab = Lab::new();
    assert_eq!(lab.ok(["__complete", "rm", ""]), ":4\n");
    assert_eq!(lab.ok(["__complete", "rmi", ""]), ":4\n");
    let other = lab.path().join("other");
    assert_eq!(lab.ok(["__complete", "--root", &other.to_string_lossy(), "start", ""]), ":4\n");
    assert!(!lab.root().exists() && !other.exists());
    // nor in a folder that is there, nor is anything put in order for it
    std::fs::create_dir(&other).expect("made");
    assert_eq!(lab.ok(["__complete", "--root", &other.to_string_lossy(), "start", ""]), ":4\n");
    assert_eq!(std::fs::read_dir(&other).expect("a folder").count(), 0);
    lab.ok(["images"]);
    std::fs::write(lab.root().join("tmp/left"), "by a crash").expect("written");
    assert_eq!(lab.ok(["__complete", "rmi", ""]), ":4\n");
    assert!(lab.root().join("tmp/left").exists());
}

/// A shell that finds `ctr`, in the lab's folder.
fn beside_ctr(lab: &Lab, shell: &mut Command) {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_ctr")).parent().expect("a folder").display();
    lab.environment(shell);
    shell.current_dir(lab.path()).env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()));
}

/// Lines that hang on what TAB makes of them, of `ctr` and of `docker`.
fn completes(lab: &Lab, person: &mut Person) {
    for (typed, line) in [
        ("ctr inspect -f '{{.Name}}' ic\t\n", "/icecold"),
        ("docker inspect -f '{{.Name}}' we\t\n", "/web"),
        ("ctr inspect --format='{{.Name}}' --typ\tcont\tic\t\n", "/icecold"),
        ("ctr image inspect -f '{{.RepoTags}}' registry.test:5000/te\t\n", "registry.test:5000/team/web:v1]"),
        ("ctr create --network=no\t --rm busy\ttrue; echo made\n", "made"),
    ] {
        person.types(typed);
        person.sees("\n");
        person.sees(line);
        person.sees("ready> ");
    }
    assert_eq!(lab.ok(["ps", "-aq", "--filter", "network=none"]).lines().count(), 5);
}

#[test]
fn a_person_at_bash_has_them_at_tab() {
    need!(root, overlay, images, "bash");
    let lab = lab();
    lab.ok(["rename", "ice", "icecold"]);
    let mut person = Person::before("bash", &["--norc", "--noprofile", "-i"], |command: &mut Command| {
        beside_ctr(&lab, command);
        command.env("PS1", "ready> ").env("TERM", "dumb").env("HISTFILE", "");
    });
    person.sees("ready> ");
    person.types("bind 'set enable-bracketed-paste off'; source <(ctr completion bash); alias docker=ctr; complete -o default -F _ctr docker; echo so$((1+1))\n");
    person.sees("so2");
    person.sees("ready> ");
    // a word behind another command is not ours
    person.types("echo ctr rm -f ic\t\x15");
    completes(&lab, &mut person);
    person.types("exit\n");
    assert_eq!(person.ends(), 0);
}

#[test]
fn a_person_at_zsh_has_them_at_tab() {
    need!(root, overlay, images, "zsh");
    let lab = lab();
    lab.ok(["rename", "ice", "icecold"]);
    let mut person = Person::before("zsh", &["-f", "-i"], |command: &mut Command| {
        beside_ctr(&lab, command);
        command.env("PS1", "ready> ").env("TERM", "dumb").env("HISTFILE", "");
    });
    person.sees("ready> ");
    person.types("autoload -Uz compinit; compinit -u -D; source <(ctr completion zsh); compdef docker=ctr; alias docker=ctr; echo so$((1+1))\n");
    person.sees("so2");
    person.sees("ready> ");
    completes(&lab, &mut person);
    person.types("exit\n");
    assert_eq!(person.ends(), 0);
}

#[test]
fn fish_offers_them() {
    need!(root, overlay, images, "fish");
    let lab = lab();
    lab.ok(["rename", "ice", "icecold"]);
    for (typed, offered) in [
        ("ctr rm -f ic", "icecold"),
        ("ctr inspect --type=cont", "--type=container"),
        ("ctr inspect --type cont", "container"),
        ("ctr image inspect registry.test:5000/te", "registry.test:5000/team/web:v1"),
        ("ctr create --network=no", "--network=none"),
        ("ctr contai", "container"),
    ] {
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", "ctr completion fish | source; complete -C \"$argv[1]\"", typed]);
        beside_ctr(&lab, &mut fish);
        let said = Said::from(fish.env("HOME", lab.path()).output().expect("fish"));
        let words: Vec<_> = said.out.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, [offered], "{typed}: {said:?}");
    }
}
