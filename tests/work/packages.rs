//! Packages installed and removed by apt, and a distribution taken apart by `rm -rf`, chmod, chown and cp.

use crate::image::{INSTALL, Image, LIST, alike};
use testkit::{fixture, need};

/// semantics: real work
#[test]
fn apt_installs_and_removes_and_dpkg_finds_every_file_whole() {
    need!(root, fuse, overlay, images);
    let packages = fixture::packages();
    let script = format!(
        "{INSTALL}install install -y --no-install-recommends $(ls /packages/*.deb | grep -Ev 'gcc|cpp|binutils|san[0-9]|-dev|ctf|gprofng|libcc1')\n\
         dpkg --verify; dpkg -l | grep -c '^ii'; git --version; perl -e 'print \"perl\\n\"'\n\
         install purge -y git perl-modules-5.36; dpkg --verify; test ! -e /usr/bin/git; test ! -e /usr/lib/git-core\n{LIST}"
    );
    let said = alike(Image::new, &[(&packages, "/packages")], &script);
    assert!(said.contains("perl\n"), "{}", said.lines().take(5).collect::<String>());
}

/// semantics: real work
#[test]
fn a_distribution_is_removed_changed_and_copied() {
    need!(root, fuse, overlay, images);
    let script = "rm -rf /usr/share /usr/lib/python* /etc /var/lib /opt; find /usr/share /etc /var/lib /opt 2>&1 | wc -l\n\
                  mkdir /etc /usr/share; ls -A /etc /usr/share\n\
                  cp -a /usr/bin /etc/; diff -r --no-dereference /usr/bin /etc/bin; chmod -R go-w /usr; chown -R 5:5 /usr/bin; find /usr/bin -printf '%f %m %U:%G %s\\n' | sort";
    alike(Image::new, &[], &format!("{script}\nfind / -xdev -printf '%p %y %m %U:%G %l\\n' | sort"));
}
