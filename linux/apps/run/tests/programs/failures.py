"""What connections that cannot be are told, blocking and not."""

import errno
import select
import socket
import sys

here = sys.argv[1]


def told(address, family=socket.AF_INET):
    with socket.socket(family) as s:
        return s.connect_ex(address)


assert told((here, 1)) == errno.ECONNREFUSED
assert told(("192.0.2.1", 1)) == errno.ENETUNREACH
assert told(("2001:db8::1", 1), socket.AF_INET6) == errno.ENETUNREACH

# Not blocking: in progress, then writable with an error.
s = socket.socket()
s.setblocking(False)
assert s.connect_ex((here, 1)) == errno.EINPROGRESS
p = select.poll()
p.register(s, select.POLLOUT)
assert p.poll(10000)
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
s.close()

# Nothing answers there: still in progress, and not writable.
s = socket.socket()
s.setblocking(False)
assert s.connect_ex(("10.9.1.77", 1)) == errno.EINPROGRESS
assert select.select([], [s], [], 0.3)[1] == []
assert s.connect_ex(("10.9.1.77", 1)) == errno.EALREADY
s.close()

s = socket.socket()
for call in (s.getpeername, lambda: s.recvmsg(10), lambda: s.shutdown(socket.SHUT_WR)):
    try:
        call()
        raise SystemExit("not refused")
    except OSError as error:
        assert error.errno == errno.ENOTCONN, error
s.close()

a = socket.socket()
a.bind(("127.0.0.1", 0))
b = socket.socket()
try:
    b.bind(a.getsockname())
    raise SystemExit("not refused")
except OSError as error:
    assert error.errno == errno.EADDRINUSE
try:
    b.bind(("10.1.2.3", 0))
    raise SystemExit("not refused")
except OSError as error:
    assert error.errno == errno.EADDRNOTAVAIL
try:
    a.accept()
    raise SystemExit("not refused")
except OSError as error:
    assert error.errno == errno.EINVAL

u = socket.socket(type=socket.SOCK_DGRAM)
try:
    u.sendto(b"x", ("192.0.2.1", 9))
    raise SystemExit("not refused")
except OSError as error:
    assert error.errno == errno.ENETUNREACH
# A datagram that nobody takes comes back as an error of the socket's.
u.connect(("127.0.0.1", 9))
u.send(b"x")
u.settimeout(10)
try:
    u.recvfrom(10)
    raise SystemExit("not refused")
except OSError as error:
    assert error.errno == errno.ECONNREFUSED, error
try:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
    raise SystemExit("not refused")
except OSError as error:
    assert error.errno == errno.EPROTONOSUPPORT
print("failures ok")
