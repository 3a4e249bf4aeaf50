//! Networks that were created, several of them, another container's, and the files that name hosts and name servers.

use crate::bridge::in_own_network;
use crate::lab::Lab;
use testkit::{fixture, need};

#[test]
fn containers_find_each_other_by_name() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "
        $ctr netwire network create web --subnet 10.9.0.0/24 >/dev/null
        $ctr run -d --name db --network web --network-alias store busybox sleep 100 >/dev/null
        $ctr run --rm --network web busybox sh -c 'for name in db store; do ping -c 1 -W 2 $name >/dev/null && echo $name; done; grep -v search /etc/resolv.conf'
        $ctr run --rm --network web --network bridge busybox true || echo code $?
        $ctr rename db renamed
        $ctr run --rm --network web busybox sh -c 'for name in renamed store; do ping -c 1 -W 2 $name >/dev/null && echo now $name; done; ping -c 1 db 2>&1 || :'
        $ctr rm -f renamed >/dev/null; $ctr netwire network rm web >/dev/null
    ";
    let said = in_own_network(&lab, script);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("db\nstore\nnameserver 10.9.0.1\n"), "{said:?}");
    assert!(said.out.contains("ndots:0") && said.out.contains("code 125\n"), "{said:?}");
    assert!(said.out.ends_with("now renamed\nnow store\nping: bad address 'db'\n"), "{said:?}");
    let mixed = "ctr: conflicting options: cannot attach both user-defined and non-user-defined network-modes";
    assert!(said.err.contains(mixed), "{said:?}");
}

#[test]
fn a_name_given_while_a_container_is_put_together_is_its_networks_too() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    // its networks are made, and nothing is written down yet
    let runtime = lab.runtime("run", "$ctr rename db renamed", "");
    let script = format!(
        "
        export ctr
        $ctr netwire network create web --subnet 10.9.0.0/24 >/dev/null
        $ctr run -d --name db --network web --runtime {runtime} busybox sleep 100 >/dev/null
        $ctr run --rm --network web busybox sh -c 'ping -c 1 -W 2 renamed >/dev/null && echo renamed; ping -c 1 db 2>&1 || :'
        $ctr rm -f renamed >/dev/null; $ctr netwire network rm web >/dev/null
    "
    );
    let said = in_own_network(&lab, &script);
    assert_eq!((said.code, said.out.as_str()), (0, "renamed\nping: bad address 'db'\n"), "{said:?}");
}

/// Whoever renames has seen that the container does not run, and writes the name when it does.
#[test]
fn a_name_written_after_a_container_has_begun_to_run_is_its_networks_too() {
    need!(root, overlay, netns, images, "flock");
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let here = lab.path().display();
    let runtime = lab.runtime("run", &format!("touch {here}/called; until [ -e {here}/go ]; do sleep 0.05; done"), "");
    let script = format!(
        "
        soon() {{ for i in $(seq 400); do \"$@\" && return; sleep 0.05; done; echo \"not soon: $*\"; }}
        $ctr netwire network create web --subnet 10.9.0.0/24 >/dev/null
        $ctr create --name db --network web --runtime {runtime} busybox sleep 100 >/dev/null
        $ctr start db >/dev/null & start=$!
        soon test -e {here}/called
        exec 9<$VENEER_ROOT/containers; flock 9
        $ctr rename db renamed 9<&- & rename=$!
        soon grep -q -e \"-> FLOCK .* $rename \" /proc/locks
        touch {here}/go; wait $start
        exec 9<&-; wait $rename
        $ctr run --rm --network web busybox sh -c 'ping -c 1 -W 2 renamed >/dev/null && echo renamed; ping -c 1 db 2>&1 || :'
        $ctr rm -f renamed >/dev/null; $ctr netwire network rm web >/dev/null
    "
    );
    let said = in_own_network(&lab, &script);
    assert_eq!((said.code, said.out.as_str()), (0, "renamed\nping: bad address 'db'\n"), "{said:?}");
}

#[test]
fn a_network_is_kept_for_a_container_that_cannot_be_read() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "
        $ctr netwire network create web >/dev/null
        id=$($ctr create --name box --network web busybox true)
        config=$VENEER_ROOT/containers/$id/config.json; cp $config $config.whole; echo '{' >$config
        $ctr system prune -f || echo code $?
        $ctr netwire network ls -q | sort
        mv $config.whole $config
        $ctr rm box; $ctr netwire network rm web >/dev/null
    ";
    let said = in_own_network(&lab, script);
    assert_eq!((said.code, said.out.as_str()), (0, "code 1\nbridge\nweb\nbox\n"), "{said:?}");
}

#[test]
fn several_networks_and_addresses_as_asked() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "
        $ctr netwire network create one --subnet 10.9.0.0/24 >/dev/null
        $ctr netwire network create two --subnet 10.8.0.0/24 --subnet fd08::/64 --ipv6 >/dev/null
        for n in 6 7; do $ctr netwire network create n$n --subnet 10.$n.0.0/24 -o container_iface_prefix=net >/dev/null; done
        $ctr run -d --name many --network one --network n6 --network two --network n7 busybox sleep 100 >/dev/null
        $ctr exec many sh -c 'for n in eth0 net0 eth1 net1; do ip -4 -o addr show $n | tr -s \" \" | cut -d \" \" -f 2,4; done'
        $ctr rm -f many >/dev/null; $ctr netwire network rm n6 n7
        $ctr run -d --name box --hostname box.a.test --network one --network name=two,ip6=fd08::77 --ip 10.9.0.50 \
            --mac-address 02:00:00:00:00:50 --add-host other:192.0.2.7 busybox sleep 100 >/dev/null
        $ctr exec box sh -c 'cat /etc/hosts; cat /sys/class/net/eth0/address; ip route | grep default'
        $ctr inspect -f '{{range .NetworkSettings.Networks}}x{{end}}' box 2>/dev/null || :
        $ctr inspect -f '{{.NetworkSettings.Networks.one.IPAddress}} {{.NetworkSettings.Networks.two.GlobalIPv6Address}} {{.NetworkSettings.MacAddress}}' box
        $ctr ps --format '{{.Networks}}'; $ctr rm -f box >/dev/null; $ctr netwire network rm one two >/dev/null
    ";
    let said = in_own_network(&lab, script);
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        "eth0 10.9.0.2/24\nnet0 10.6.0.2/24\neth1 10.8.0.2/24\nnet1 10.7.0.2/24\n",
        "192.0.2.7\tother\n10.9.0.50\tbox.a.test box\n10.8.0.2\tbox.a.test box\nfd08::77\tbox.a.test box\n02:00:00:00:00:50\n",
        "default via 10.9.0.1 dev eth0",
        "10.9.0.50 fd08::77 02:00:00:00:00:50\n",
        "one,two\n",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
}

#[test]
fn networks_that_nobody_needs_are_pruned() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "
        for n in used created kept; do $ctr netwire network create $n --label keep >/dev/null; done
        $ctr netwire network create left >/dev/null
        $ctr run -d --name one --network used busybox sleep 100 >/dev/null
        $ctr netwire network create alone --label keep >/dev/null
        unshare -n sleep 100 &
        until [ $(readlink /proc/$!/ns/net) != $(readlink /proc/self/ns/net) ]; do sleep 0.1; done
        $ctr netwire attach --network alone --netns $! --id 1234 >/dev/null
        $ctr system prune -f --filter label!=keep
        echo n | $ctr system prune | grep networks
        $ctr create --name two --network created busybox true >/dev/null
        $ctr system prune -f
        $ctr netwire network ls -q | sort
        $ctr netwire detach --network alone --id 1234; kill $!
        $ctr rm -f one >/dev/null
    ";
    let said = in_own_network(&lab, script);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let (first, rest) = said.out.split_once("  - ").expect("a question");
    assert_eq!(first, "Deleted Networks:\nleft\n\nTotal reclaimed space: 0B\n");
    let (question, rest) = rest.split_once('\n').expect("a line");
    assert_eq!(question, "all networks not used by at least one container");
    // the container that only asked for one went before it
    assert!(rest.contains("\nDeleted Networks:\ncreated\nkept\n\n"), "{rest}");
    assert!(rest.ends_with("alone\nbridge\nused\n"), "{rest}");
}

#[test]
fn another_containers_network_with_its_names() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "
        $ctr run -d --name web --hostname web busybox sh -c 'mkdir /www; echo page >/www/index.html; exec httpd -f -h /www' >/dev/null
        page http://$($ctr inspect -f '{{.NetworkSettings.IPAddress}}' web)/ >/dev/null
        $ctr run --rm --network container:web busybox sh -c 'wget -q -O - http://127.0.0.1/; hostname; grep -c web /etc/hosts'
        $ctr run --rm --network container:web -p 80:80 busybox true || echo code $?
        $ctr run --rm --network container:web -h x busybox true || echo code $?
        $ctr run --rm --network container:nobody busybox true || echo code $?
        $ctr rm -f web >/dev/null
    ";
    let said = in_own_network(&lab, script);
    assert_eq!((said.code, said.out.as_str()), (0, "page\nweb\n1\ncode 125\ncode 125\ncode 125\n"), "{said:?}");
    for words in [
        "ctr: conflicting options: port publishing and the container type network mode\n",
        "ctr: conflicting options: hostname and the network mode\n",
        "ctr: No such container: nobody\n",
    ] {
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
}

#[test]
fn name_servers_on_loopback_are_replaced_with_a_word() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let resolv = lab.path().join("resolv.conf");
    std::fs::write(&resolv, "nameserver 127.0.0.1\nsearch a.test\n").expect("written");
    let script = format!(
        "mount --bind {} /etc/resolv.conf
        $ctr run --rm busybox cat /etc/resolv.conf
        $ctr run --rm --dns 192.0.2.53 --dns-search . --dns-option ndots:3 busybox cat /etc/resolv.conf",
        resolv.display()
    );
    let said = in_own_network(&lab, &script);
    let expected = "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch a.test\nnameserver 192.0.2.53\noptions ndots:3\n";
    assert_eq!((said.code, said.out.as_str()), (0, expected), "{said:?}");
    assert_eq!(said.err.matches("8.8.8.8 and 8.8.4.4 are used").count(), 1, "{said:?}");
}

#[test]
fn what_is_wrong_is_said_in_dockers_words() {
    let lab = Lab::new();
    for (options, words) in [
        (&["-p", "80:a"][..], "invalid containerPort: a"),
        (&["--expose", "80:80"], "invalid port format for --expose: 80:80"),
        (&["--dns", "x"], "invalid argument \"x\" for \"--dns\" flag: IP address is not correctly formatted: x"),
        (&["--add-host", "x"], "invalid argument \"x\" for \"--add-host\" flag: bad format for add-host: \"x\""),
        (&["--mac-address", "x"], "x is not a valid mac address"),
        (&["--network-alias", "x"], "network-scoped aliases are only supported for user-defined networks"),
    ] {
        let said = lab.said([&["run"], options, &["host", "true"]].concat());
        assert_eq!(
            (said.code, said.err.lines().next()),
            (125, Some(&*format!("ctr: {words}"))),
            "{options:?}: {said:?}"
        );
    }
}
