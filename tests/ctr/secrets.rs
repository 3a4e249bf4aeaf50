//! Secrets: kept by the store, seen by the containers that were given them, and in no image.

use crate::lab::Lab;
use testkit::{fixture, need};

#[test]
fn made_listed_given_and_removed() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let made = lab.fed(b"hush", &["secret", "create", "pw", "-"]);
    assert_eq!((made.code, made.out.trim().len()), (0, 25), "{made:?}");
    let id = made.out.trim().to_owned();
    let again = lab.fed(b"x", &["secret", "create", "pw", "-"]);
    assert_eq!((again.code, again.err.as_str()), (125, "ctr: pw: secret name in use\n"));
    let listed = lab.ok(["secret", "ls"]);
    assert!(listed.starts_with("ID  ") && listed.contains(&format!("{id}   pw        file")), "{listed}");
    assert_eq!(lab.ok(["secret", "inspect", "-f", "{{.Spec.Name}} {{.ID}}", "pw"]), format!("pw {id}\n"));
    assert!(!lab.ok(["secret", "inspect", "pw"]).contains("hush"));
    let look = "cat /run/secrets/pw /etc/key; stat -c %a:%u:%g /run/secrets/pw /etc/key; echo $PW";
    for userns in ["", "auto"] {
        let seen = lab.ok([
            "run",
            "--name",
            "box",
            "--network",
            "none",
            "--userns",
            userns,
            "--secret",
            "pw",
            "--secret",
            "pw,target=/etc/key,uid=5,gid=6,mode=0400",
            "--secret",
            "pw,type=env,target=PW",
            "busybox",
            "sh",
            "-c",
            look,
        ]);
        assert_eq!(seen, "hushhush444:0:0\n400:5:6\nhush\n", "userns {userns:?}");
        assert!(!lab.ok(["inspect", "box"]).contains("hush"), "the record holds no secret");
        lab.ok(["rm", "box"]);
    }
    assert_eq!(lab.ok(["secret", "rm", "pw"]), "pw\n");
    let gone = lab.said(["secret", "rm", "pw"]);
    assert_eq!((gone.code, gone.err.as_str()), (125, "ctr: no secret with name or id \"pw\": no such secret\n"));
    let refused = lab.said(["run", "--rm", "--secret", "pw", "busybox", "true"]);
    assert_eq!((refused.code, refused.err.as_str()), (125, "ctr: no secret with name or id \"pw\": no such secret\n"));
    for (name, data, words) in [
        (
            "-b",
            "x",
            "only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]: -b: invalid secret name",
        ),
        ("empty", "", "secret data must be larger than 0 and less than 512000 bytes"),
    ] {
        let said = lab.fed(data.as_bytes(), &["secret", "create", "--", name, "-"]);
        assert_eq!((said.code, said.err), (125, format!("ctr: {words}\n")));
    }
}

#[test]
fn a_variable_that_is_a_secret_is_that_and_no_other() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.fed(b"hush", &["secret", "create", "pw", "-"]);
    let run = ["run", "--rm", "--network", "none", "-e", "PW=plain", "-e", "PWD2=other", "--secret"];
    let seen = lab.ok([&run[..], &["pw,type=env,target=PW", "host", "env"]].concat());
    let seen: Vec<&str> = seen.lines().filter(|line| line.starts_with("PW")).collect();
    assert_eq!(seen, ["PWD2=other", "PW=hush"]);
    for (name, data) in [("bytes", &b"\xff\xfe"[..]), ("nul", b"a\0b")] {
        lab.fed(data, &["secret", "create", name, "-"]);
        let said = lab.said([&run[..], &[&format!("{name},type=env"), "host", "true"]].concat());
        let why = format!("ctr: secret {name}: no variable can hold its bytes");
        assert!(said.code == 125 && said.err.contains(&why), "{said:?}");
        assert!(said.err.contains(&format!("--secret {name},type=mount")), "{said:?}");
        assert_eq!(
            lab.ok([&run[..], &[name, "host", "sh", "-c", &format!("wc -c </run/secrets/{name}")]].concat()).trim(),
            data.len().to_string()
        );
    }
    assert_eq!(lab.ok(["ps", "-aq"]), "");
}
