//! However many write at once, the tree is what the entries say one after the other.

use crate::bench::{Bench, entry, tar};
use testkit::tree::snapshot;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("small")
    }
}

/// Entries that replace, link and hide each other all the time, under a few names.
fn entries(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice(seed);
    let mut there: Vec<String> = Vec::new();
    let mut all: Vec<Vec<u8>> = (0..6).map(|n| entry(b'5', &format!("d{n}/"), "", b"")).collect();
    for at in 0..count {
        let folder = dice.throw(6);
        let name = format!("d{folder}/{}", dice.throw(40));
        let data = at.to_string().repeat(dice.throw(300));
        match dice.throw(20) {
            0 => {
                // A file in the place of a whole folder, and the folder again.
                all.push(entry(b'0', &format!("d{folder}"), "", data.as_bytes()));
                all.push(entry(b'5', &format!("d{folder}/"), "", b""));
                there.retain(|name| !name.starts_with(&format!("d{folder}/")));
                continue;
            }
            1 => all.push(entry(b'2', &name, "../anywhere", b"")),
            2 | 3 if !there.is_empty() => {
                let target = there[dice.throw(there.len())].clone();
                all.push(entry(b'1', &name, &target, b""));
            }
            4 => {
                all.push(entry(b'5', &format!("{name}/"), "", b""));
                all.push(entry(b'0', &format!("{name}/in"), "", data.as_bytes()));
                there.retain(|other| *other != name);
                continue;
            }
            5 => {
                all.push(entry(b'0', &format!("d{folder}/.wh.{}", dice.throw(40)), "", b""));
                continue;
            }
            _ => all.push(entry(b'0', &name, "", data.as_bytes())),
        }
        if !there.contains(&name) {
            there.push(name);
        }
    }
    all
}

#[test]
fn one_worker_and_many_make_the_same_tree() {
    let bench = Bench::in_memory();
    for seed in [1, 4711] {
        bench.write("a.tar", &tar(&entries(seed, 1500)));
        for whiteouts in ["userxattr", "apply", "oci"] {
            for jobs in ["1", "16"] {
                bench.unpacked(&format!("--whiteouts {whiteouts} -j {jobs} -C {whiteouts}-{jobs} a.tar"));
            }
            // The folder itself has no entry, and so the time at which it was made.
            let tree = |jobs: &str| {
                snapshot(&bench.path(&format!("{whiteouts}-{jobs}")))
                    .without_times(|path, _| path.as_os_str().is_empty())
            };
            let one = tree("1");
            assert!(one.nodes.len() > 30, "{} entries", one.nodes.len());
            one.assert_same(&tree("16"), &format!("seed {seed}, {whiteouts}"));
            bench.sh(&format!("rm -r {whiteouts}-*"));
        }
    }
}
