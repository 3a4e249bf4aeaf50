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

	set outbound4 {
		type ifname
		elements = { "veneer0" comment "network bridge" }
	}

	set outbound6 {
		type ifname
		elements = { "veneer0" comment "network bridge" }
	}

	map from4 {
		type ifname : ipv4_addr
	}

	map from6 {
		type ifname : ipv6_addr
	}

	set internal {
		type ifname
	}

	set open {
		type ifname
	}

	set within {
		type ifname . ifname
		elements = { "veneer0" . "veneer0" comment "network bridge" }
	}

	set sources4 {
		type ipv4_addr
	}

	set sources6 {
		type ipv6_addr
	}

	set itself4 {
		type ipv4_addr . ipv4_addr
	}

	set itself6 {
		type ipv6_addr . ipv6_addr
	}

	map ports4 {
		type inet_proto . inet_service : ipv4_addr . inet_service
	}

	map ports6 {
		type inet_proto . inet_service : ipv6_addr . inet_service
	}

	map bound4 {
		type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
	}

	map bound6 {
		type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
	}

	map claims4 {
		type inet_proto . inet_service : mark
	}

	map claims6 {
		type inet_proto . inet_service : mark
	}

	set loopback6 {
		type ipv6_addr
	}

	chain published {
		dnat ip to ip daddr . meta l4proto . th dport map @bound4 comment "on one address"
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @bound6 comment "on one address"
		meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports4 comment "on every address"
		meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @ports6 comment "on every address"
	}

	chain guard {
		type filter hook prerouting priority raw; policy accept;
		ip daddr 127.0.0.0/8 iifname != "lo" drop comment "nobody outside has a loopback address"
		ip saddr 127.0.0.0/8 iifname != "lo" drop comment "nobody outside has a loopback address"
		ip6 daddr ::1 iifname != "lo" drop comment "nobody outside has a loopback address"
		ip6 saddr ::1 iifname != "lo" drop comment "nobody outside has a loopback address"
	}

	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local jump published comment "published ports"
	}

	chain output {
		type nat hook output priority -100; policy accept;
		ip6 daddr ::1 ip6 daddr != @loopback6 return comment "refused at once where it could not be answered"
		fib daddr type local jump published comment "published ports"
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ct status dnat iifname @networks oifname @networks masquerade comment "a neighbour's published port"
		ct status dnat ip saddr . ip daddr @itself4 masquerade comment "one's own published port"
		ct status dnat ip6 saddr . ip6 daddr @itself6 masquerade comment "one's own published port"
		iifname @open oifname @open accept comment "between open networks"
		ip daddr != 224.0.0.0/4 snat ip to iifname map @from4 comment "leaving a network by one address"
		ip6 daddr != ff00::/8 snat ip6 to iifname map @from6 comment "leaving a network by one address"
		ip daddr != 224.0.0.0/4 iifname @outbound4 masquerade comment "leaving a network"
		ip6 daddr != ff00::/8 iifname @outbound6 masquerade comment "leaving a network"
		ip daddr != 224.0.0.0/4 ip saddr @sources4 iif != 0 masquerade comment "leaving a link"
		ip6 daddr != ff00::/8 ip6 saddr @sources6 iif != 0 masquerade comment "leaving a link"
		ip saddr 127.0.0.0/8 oifname @networks masquerade comment "from loopback"
		ip6 saddr ::1 oifname @networks masquerade comment "from loopback"
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state established,related accept comment "answers"
		iifname . oifname @within accept comment "within a network"
		iifname @internal drop comment "out of an internal network"
		oifname @internal drop comment "into an internal network"
		ct status dnat accept comment "published"
		iifname @open oifname @open accept comment "between open networks"
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
            "nft delete element inet veneer outbound4 '{ veneer0 }'",
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
