//! Opens flows: sends one datagram from each of so many sockets to an address, and says how many microseconds each took:
//! `flows ADDRESS:PORT COUNT`.
//!
//! On interfaces that are joined by `veth`, a kernel takes a packet all its way within the call that sends it, so this
//! times the way of first packets; see `first-packet`.

use std::net::UdpSocket;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(to), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: flows ADDRESS:PORT COUNT".into());
    };
    let count: u16 = count.parse()?;
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(&to)?;
        sockets.push(socket);
    }
    #[expect(clippy::disallowed_methods, reason = "it is a kernel that is measured")]
    let begin = std::time::Instant::now();
    for socket in &sockets {
        socket.send(&[0; 100])?;
    }
    println!(
        "{:.3}",
        begin.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    );
    Ok(())
}
