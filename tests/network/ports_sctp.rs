//! Published ports of SCTP: as rules everywhere, as packets where the kernel has the protocol.

use crate::lab::lab;
use crate::publishing::attach;
use crate::wiring::Wiring;
use testkit::need;

#[test]
fn a_port_of_sctp_is_an_element_like_any_other() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("c1");
        attach(Wiring::Netwire, lab, "c1", &["9899:9900/sctp", "9899:9901"]);
        let map = lab.sh("nft list map inet veneer ports4");
        assert!(map.contains("sctp . 9899 comment \"bridge c1\" : 172.17.0.2 . 9900"), "{map}");
        assert!(map.contains("tcp . 9899 comment \"bridge c1\" : 172.17.0.2 . 9901"), "{map}");
    });
}

mod modules {
    use crate::lab::{guest, lab};
    use crate::publishing::attach;
    use crate::wiring::Wiring;
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketType, accept, bind, connect, ipproto, listen, recv, send, socket,
    };
    use std::net::SocketAddrV4;
    use std::os::fd::OwnedFd;
    use testkit::need;

    fn endpoint() -> OwnedFd {
        socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::SCTP)).expect("a socket of SCTP")
    }

    fn at(text: &str) -> SocketAddrV4 {
        text.parse().expect("an address with a port")
    }

    #[test]
    fn a_port_of_sctp_is_reached() {
        guest!();
        need!(root, "ip");
        lab(|lab| {
            lab.outside();
            lab.container("c1");
            attach(Wiring::Netwire, lab, "c1", &["9899:9900/sctp"]);
            let server = lab.within("c1", endpoint);
            bind(&server, &at("0.0.0.0:9900")).expect("bound");
            listen(&server, 4).expect("listening");
            for (from, to) in [("outside", "198.51.100.1:9899"), ("", "198.51.100.1:9899"), ("", "127.0.0.1:9899")] {
                let client = lab.within(from, endpoint);
                connect(&client, &at(to)).unwrap_or_else(|e| panic!("{to} from `{from}`: {e}"));
                let peer = accept(&server).expect("accepted");
                let mut got = [0; 8];
                for (one, other) in [(&client, &peer), (&peer, &client)] {
                    send(one, b"ping", SendFlags::empty()).expect("sent");
                    assert_eq!(recv(other, &mut got, RecvFlags::empty()).expect("received").0, 4, "{to} from `{from}`");
                }
            }
        });
    }
}
