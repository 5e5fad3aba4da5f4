//! Which system calls of the program the supervisor sees: a filter of the machine's Linux.
//!
//! It looks at the call's number and at arguments that are no pointers. What moves bytes (read, write, send and recv without an
//! address, poll, epoll, sendfile) is not seen, so that it runs at the machine's own speed.

use libc::{c_long, sock_filter};

const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

/// `AUDIT_ARCH_X86_64`
pub const ARCHITECTURE: u32 = 0xc000_003e;
/// The bit of the calls of x32.
const X32: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn argument(n: u32) -> u32 {
    16 + 8 * n
}

/// Calls that are always seen.
const CALLS: [c_long; 14] = [
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_shutdown,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
];

/// Families whose sockets are Linux's: IPv4, IPv6, netlink, packets.
const FAMILIES: [i32; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// Instructions, put together.
#[derive(Default)]
struct Assembler(Vec<sock_filter>);

impl Assembler {
    fn push(&mut self, code: u32, jt: u8, jf: u8, k: u32) {
        let code = u16::try_from(code).unwrap_or(0);
        self.0.push(sock_filter { code, jt, jf, k });
    }

    fn load(&mut self, offset: u32) {
        self.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    }

    fn and(&mut self, mask: u32) {
        self.push(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask);
    }

    fn end(&mut self, action: u32) {
        self.push(libc::BPF_RET | libc::BPF_K, 0, 0, action);
    }

    /// Ends with `action` if what is loaded is `value`.
    fn end_if(&mut self, value: u32, action: u32) {
        self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, value);
        self.end(action);
    }

    /// Ends with `action` unless it is.
    fn end_unless(&mut self, value: u32, action: u32) {
        self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, value);
        self.end(action);
    }

    /// Goes over what `body` makes unless what is loaded is `value`. `body` ends on all of its ways.
    fn when(&mut self, value: c_long, body: impl FnOnce(&mut Assembler)) {
        let mut inner = Assembler::default();
        body(&mut inner);
        let over = u8::try_from(inner.0.len()).unwrap_or(u8::MAX);
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, over, value);
        self.0.extend(inner.0);
    }
}

/// The whole filter.
pub fn program() -> Vec<sock_filter> {
    let mut code = Assembler::default();
    code.load(ARCH);
    code.end_unless(ARCHITECTURE, NOTIFY);
    code.load(NUMBER);
    // Anything of x32's.
    code.push(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32);
    code.end(NO_SUCH_CALL);
    for call in CALLS {
        code.when(call, |code| code.end(NOTIFY));
    }
    code.when(libc::SYS_socket, |code| {
        code.load(argument(0));
        for family in FAMILIES {
            code.end_if(family.unsigned_abs(), NOTIFY);
        }
        code.end(ALLOW);
    });
    for call in [libc::SYS_sendto, libc::SYS_recvfrom] {
        code.when(call, |code| {
            // The pointer to an address, in two halves.
            code.load(argument(4));
            code.end_unless(0, NOTIFY);
            code.load(argument(4) + 4);
            code.end_unless(0, NOTIFY);
            code.load(argument(3));
            code.and(libc::MSG_ERRQUEUE.unsigned_abs());
            code.end_unless(0, NOTIFY);
            code.end(ALLOW);
        });
    }
    code.when(libc::SYS_ioctl, |code| {
        code.load(argument(1));
        code.and(0xffff_ff00);
        code.end_if(0x8900, NOTIFY);
        code.end(ALLOW);
    });
    // It would make sockets of the machine's behind this filter's back.
    code.when(libc::SYS_io_uring_setup, |code| code.end(NO_SUCH_CALL));
    code.end(ALLOW);
    code.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter says of a call, by a small interpreter of the instructions that it has.
    fn verdict(arch: u32, number: c_long, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(u32::try_from(number).unwrap().to_ne_bytes());
        data.extend(arch.to_ne_bytes());
        data.extend([0; 8]);
        data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let program = program();
        let (mut at, mut loaded) = (0, 0u32);
        loop {
            let step = &program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { step.jt } else { step.jf });
            match u32::from(step.code) {
                0x20 => {
                    let offset = step.k as usize;
                    loaded = u32::from_ne_bytes(data[offset..offset + 4].try_into().unwrap());
                }
                0x54 => loaded &= step.k,
                0x15 => at += jump(loaded == step.k),
                0x35 => at += jump(loaded >= step.k),
                0x06 => return step.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn of(number: c_long, arguments: [u64; 6]) -> u32 {
        verdict(ARCHITECTURE, number, arguments)
    }

    #[test]
    fn sockets_of_the_network_are_seen_and_others_are_not() {
        for family in [2, 10, 16, 17] {
            assert_eq!(of(libc::SYS_socket, [family, 1, 0, 0, 0, 0]), NOTIFY);
        }
        for family in [1, 40, 38] {
            assert_eq!(of(libc::SYS_socket, [family, 1, 0, 0, 0, 0]), ALLOW);
        }
    }

    #[test]
    fn what_moves_bytes_without_an_address_is_not_seen() {
        for call in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_poll,
            libc::SYS_sendfile,
        ] {
            assert_eq!(of(call, [3, 1 << 40, 9, 0, 1, 1]), ALLOW);
        }
        for call in [libc::SYS_sendto, libc::SYS_recvfrom] {
            assert_eq!(of(call, [3, 1 << 40, 9, 0x4000, 0, 0]), ALLOW);
            assert_eq!(of(call, [3, 1 << 40, 9, 0, 0x1000, 16]), NOTIFY);
            assert_eq!(of(call, [3, 1 << 40, 9, 0, 1 << 40, 16]), NOTIFY);
            assert_eq!(of(call, [3, 1 << 40, 9, 0x2000, 0, 0]), NOTIFY);
        }
        assert_eq!(of(libc::SYS_ioctl, [3, 0x5421, 0, 0, 0, 0]), ALLOW);
        assert_eq!(of(libc::SYS_ioctl, [3, 0x8912, 0, 0, 0, 0]), NOTIFY);
    }

    #[test]
    fn other_kinds_of_calls_are_refused() {
        assert_eq!(of(c_long::from(X32) | libc::SYS_socket, [2; 6]), NO_SUCH_CALL);
        assert_eq!(of(libc::SYS_io_uring_setup, [8; 6]), NO_SUCH_CALL);
        // i386's: the supervisor ends the program with a word.
        assert_eq!(verdict(0x4000_0003, 1, [0; 6]), NOTIFY);
    }
}
