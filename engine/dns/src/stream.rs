//! Messages on a TCP connection: each behind its length in two bytes (RFC 1035 section 4.2.2).

/// A message as it goes over TCP.
///
/// # Panics
/// When it has more than 65,535 bytes, which no message has.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let size = u16::try_from(message.len()).expect("a message has at most 65,535 bytes");
    [size.to_be_bytes().as_slice(), message].concat()
}

/// Takes the complete messages out of what came over TCP; what is left of an incomplete one stays.
///
/// ```
/// use switchboard_dns::{framed, take_messages};
///
/// let mut buffer = framed(b"one");
/// buffer.extend([0, 5, b't']);
/// assert_eq!(take_messages(&mut buffer), [b"one".to_vec()]);
/// assert_eq!(buffer, [0, 5, b't']);
/// ```
pub fn take_messages(buffer: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut rest = buffer.as_slice();
    while let [high, low, after @ ..] = rest
        && let Some((message, behind)) =
            after.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
    {
        messages.push(message.to_vec());
        rest = behind;
    }
    let taken = buffer.len() - rest.len();
    buffer.drain(..taken);
    messages
}
