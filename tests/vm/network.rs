//! Links that are modules of Debian's kernel and often missing elsewhere: ipvlan, 802.1Q, dummy, SCTP, …
//!
//! What runs in there is of the target `network`: every test in a module called `modules` (`mod modules { … }` within any file
//! of `tests/network/`). Each begins with `guest!()`, which returns anywhere else. Lab, packets and references are the same as
//! here; a module is loaded when first used. The guest is about ten times slower: keep them few.

use crate::guest;
use testkit::need;

#[test]
fn links_of_every_kind() {
    need!(root, vm, "ip", "busybox", "nft");
    let network = guest::executable("network", "packets::networks_are_apart");
    let shared = tempfile::tempdir().expect("folder");
    let script = format!(
        "export VENEER_GUEST=1 VENEER_REQUIRE=all RUST_BACKTRACE=0
         modprobe -a nf_tables nft_chain_nat br_netfilter
         '{}' --test-threads=2 modules::",
        network.display(),
    );
    let said = guest::run(shared.path(), &[], &script);
    assert_eq!(said.matches("test result: ok.").count(), 1, "{said}");
    assert!(!said.contains("SKIPPED") && said.contains("modules::"), "{said}");
}
