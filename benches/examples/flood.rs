//! Sends datagrams of 100 bytes to an address, and says how many of them a second: `flood ADDRESS:PORT COUNT`.
//!
//! On interfaces that are joined by `veth`, a kernel takes a packet all its way within the call that sends it, so this
//! times the kernel's whole path; see `two-hop`.

use std::net::UdpSocket;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(to), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: flood ADDRESS:PORT COUNT".into());
    };
    let count: u32 = count.parse()?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    #[expect(clippy::disallowed_methods, reason = "it is a kernel that is measured")]
    let begin = std::time::Instant::now();
    let mut sent = 0_u32;
    for _ in 0..count {
        sent += u32::from(socket.send(&[0; 100]).is_ok());
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{:.3} M packets/s", f64::from(sent) / seconds / 1e6);
    Ok(())
}
