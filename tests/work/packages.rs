//! Packages installed, removed and installed again by apt, and everything removed by `rm -rf`.

use crate::image::{INSTALL, Image, LIST, alike};
use testkit::{fixture, need};

/// semantics: real work
#[test]
fn apt_installs_a_compiler_and_dpkg_finds_every_file_whole() {
    need!(root, fuse, overlay, images);
    let packages = fixture::packages();
    let script = format!(
        "{INSTALL}dpkg --verify; dpkg -l | grep -c '^ii'\n\
         printf '#include <stdio.h>\\nint main() {{ puts(\"compiled\"); }}\\n' >/tmp/a.c; gcc -o /tmp/a /tmp/a.c; /tmp/a\n\
         install purge -y gcc-12 libc6-dev; dpkg --verify; test ! -e /usr/bin/gcc; test ! -e /usr/include/stdio.h\n\
         install install -y --no-install-recommends /packages/gcc*.deb /packages/libc*dev*.deb\n\
         dpkg --verify; gcc --version | head -n 1; git --version\n{LIST}"
    );
    let said = alike(Image::new, &[(&packages, "/packages")], &script);
    assert!(said.contains("compiled\n"), "{}", said.lines().take(5).collect::<String>());
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
