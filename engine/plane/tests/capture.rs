//! Captures as another program reads them: tshark, where it is installed.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Lab, VIP, service};
use switchboard_plane::{Impairment, PingSpec, Share};

/// A connection through a Service over a link that loses and doubles packets, and a ping.
fn captures() -> BTreeMap<String, Vec<u8>> {
    let mut lab = Lab::new();
    for node in 0..3 {
        lab.set_tables(node, service(VIP, &["10.244.3.3:80"]));
    }
    let share = |millionths| Share::per_million(millionths).unwrap();
    let impairment = Impairment {
        delay: Duration::from_millis(3),
        loss: share(100_000),
        duplicate: share(200_000),
        ..Impairment::default()
    };
    lab.impair("zone-1", "zone-2", impairment).unwrap();
    lab.plane.enable_capture();
    let pod = lab.host("pod-a2");
    lab.run_until(Duration::from_millis(1500));
    let _ = lab
        .plane
        .ping(pod, PingSpec::to("10.244.1.3".parse().unwrap()));
    for _ in 0..5 {
        lab.connect(pod, "10.96.0.40:80");
    }
    lab.run();
    lab.plane.captures()
}

#[test]
fn equal_runs_give_equal_captures() {
    assert_eq!(captures(), captures());
}

/// What tshark says of some fields of every packet; `None` where it is not installed.
fn tshark(file: &[u8], fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packets.pcapng");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new("tshark");
    // Checksums of IP, TCP and ICMP are looked at, too.
    command.args([
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "tcp.check_checksum:TRUE",
    ]);
    command.args(["-T", "fields", "-E", "separator=;", "-r"]);
    command.arg(&path);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: tshark does not start: {error}");
            return None;
        }
        Err(error) => panic!("CI needs tshark: {error}"),
    };
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let cells = |line: &str| line.split(';').map(str::to_owned).collect();
    Some(text.lines().map(cells).collect())
}

#[test]
fn tshark_reads_what_the_client_saw() {
    let files = captures();
    let fields = [
        "frame.time_epoch",
        "frame.interface_name",
        "ip.dst",
        "ip.checksum.status",
        "tcp.checksum.status",
        "tcp.flags.syn",
    ];
    let Some(packets) = tshark(&files["pod-a2-eth0.pcapng"], &fields) else {
        return;
    };
    // Status 1 is good; a ping has none of TCP.
    for packet in &packets {
        assert_eq!((packet[1].as_str(), packet[3].as_str()), ("eth0", "1"));
        assert!(["1", ""].contains(&packet[4].as_str()), "{packet:?}");
    }
    let first = &packets[0];
    assert!(
        first[0].starts_with("1.5000000"),
        "the virtual instant: {first:?}"
    );
    assert_eq!(first[2], "10.244.1.3");
    let syns = packets
        .iter()
        .filter(|packet| packet[2] == VIP && ["1", "True"].contains(&packet[5].as_str()));
    assert!(syns.count() >= 5, "{packets:?}");
    for (name, bytes) in &files {
        let interface = name.strip_suffix(".pcapng").unwrap();
        let packets = tshark(bytes, &["frame.interface_name"]).unwrap();
        assert!(
            packets.iter().all(|packet| interface.ends_with(&packet[0])),
            "{name}"
        );
    }
}
