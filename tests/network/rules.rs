//! The packet rules, as `nft` shows them.

use crate::lab::lab;
use crate::wiring::Wiring;
use testkit::need;

const ONE_NETWORK: &str = r#"table inet veneer {
	comment "container networks; made by netwire"
	set networks {
		type ifname
		elements = { "veneer0" comment "network bridge" }
	}

	set outbound {
		type ifname
		elements = { "veneer0" comment "network bridge" }
	}

	set internal {
		type ifname
	}

	set within {
		type ifname . ifname
		elements = { "veneer0" . "veneer0" comment "network bridge" }
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		iifname @outbound masquerade comment "leaving a network"
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state established,related accept comment "answers"
		iifname . oifname @within accept comment "within a network"
		iifname @internal drop comment "out of an internal network"
		ct status dnat accept comment "published"
		oifname @networks drop comment "into a network"
	}
}
"#;

#[test]
fn they_are_what_the_chapter_says() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("c1");
        lab.container("c2");
        Wiring::Netwire.attach(lab, "c1");
        assert_eq!(lab.ruleset(), ONE_NETWORK);
        // The second container needs nothing new, and `nft` takes back what it printed.
        Wiring::Netwire.attach(lab, "c2");
        assert_eq!(lab.ruleset(), ONE_NETWORK);
        lab.sh("nft list ruleset >/run/rules; nft flush ruleset; nft -f /run/rules");
        assert_eq!(lab.ruleset(), ONE_NETWORK);
    });
}

#[test]
fn whatever_is_missing_comes_back_with_the_next_attach() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("c1");
        Wiring::Netwire.attach(lab, "c1");
        for damage in [
            "nft flush ruleset",
            "nft flush chain inet veneer forward",
            "nft delete element inet veneer outbound '{ veneer0 }'",
            "nft insert rule inet veneer postrouting accept",
            "nft delete chain inet veneer postrouting",
        ] {
            lab.sh(damage);
            assert_ne!(lab.ruleset(), ONE_NETWORK, "{damage}");
            Wiring::Netwire.attach(lab, "c1");
            // A chain that was deleted comes back behind the others.
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&lab.ruleset()), sorted(ONE_NETWORK), "{damage}");
        }
    });
}

#[test]
fn a_network_is_elements_only_and_takes_them_along() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.sh("nft add table ip others; nft add chain ip others mine");
        let before = lab.ruleset();
        lab.container("c1");
        Wiring::Netwire.attach(lab, "c1");
        let one = lab.ruleset();
        lab.netwire("network create vault --internal --bridge vault0");
        lab.attach("--network vault --netns c1 --id c1 --ifname eth1");
        let two = lab.ruleset();
        let rules = |text: &str| text.matches(" comment \"").count() - text.matches("comment \"network ").count();
        assert_eq!(rules(&one), rules(&two), "no rule more:\n{two}");
        assert_eq!(two.matches("comment \"network vault\"").count(), 3, "{two}");
        lab.netwire("detach --network vault --id c1");
        lab.netwire("network rm vault");
        assert_eq!(lab.ruleset(), one);
        Wiring::Netwire.detach(lab, "c1");
        lab.netwire("network rm bridge");
        assert_eq!(lab.ruleset(), before, "other tables stay");
    });
}
