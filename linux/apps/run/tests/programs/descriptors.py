"""Sockets are descriptors: each case is run by its name, within Linux's own loopback."""

import array
import errno
import os
import select
import signal
import socket
import struct
import sys
import time

signal.alarm(60)
LOCAL = ("127.0.0.1", 0)


def listener(backlog=16):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(LOCAL)
    s.listen(backlog)
    return s


def pair():
    with listener() as l:
        a = socket.create_connection(l.getsockname())
        b, address = l.accept()
        assert address == a.getsockname() and b.getpeername() == address
        return a, b


def whole(s, length):
    data = b""
    while len(data) < length:
        piece = s.recv(length - len(data))
        assert piece, "ended early"
        data += piece
    return data


def mixed_waits():
    a, b = pair()
    r, w = os.pipe()
    ua, ub = socket.socketpair()
    u = socket.socket(type=socket.SOCK_DGRAM)
    u.bind(LOCAL)
    l = listener()
    late = socket.socket()
    late.setblocking(False)
    readers = [b, r, ub, u, l]
    numbers = [x if isinstance(x, int) else x.fileno() for x in readers]

    def by_select():
        found = select.select(readers, [], [], 0)[0]
        return {x if isinstance(x, int) else x.fileno() for x in found}

    p = select.poll()
    e = select.epoll()
    for n in numbers:
        p.register(n, select.POLLIN)
        e.register(n, select.EPOLLIN)

    def ready(expected):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = [by_select(), {n for n, _ in p.poll(0)}, {n for n, _ in e.poll(0)}]
            if found == [expected] * 3:
                return
            time.sleep(0.01)
        raise SystemExit(f"{found} and not {expected}")

    ready(set())
    a.send(b"1")
    ready({b.fileno()})
    os.write(w, b"2")
    ua.send(b"3")
    ready({b.fileno(), r, ub.fileno()})
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"4", u.getsockname())
    late.connect_ex(l.getsockname())
    ready(set(numbers))
    assert b.recv(9) == b"1" and os.read(r, 9) == b"2" and ub.recv(9) == b"3" and u.recv(9) == b"4"
    ready({l.fileno()})
    l.accept()[0].close()
    ready(set())
    assert select.select([], [a, late], [], 10)[1]


def edges():
    a, b = pair()
    e = select.epoll()
    e.register(b, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
    assert e.poll(0) == []
    a.send(b"x")
    assert e.poll(10) == [(b.fileno(), select.EPOLLIN)]
    assert e.poll(0.1) == []
    a.shutdown(socket.SHUT_WR)
    events = e.poll(10)[0][1]
    assert events & select.EPOLLRDHUP, events


def half_close():
    a, b = pair()
    a.sendall(b"question")
    a.shutdown(socket.SHUT_WR)
    assert whole(b, 8) == b"question" and b.recv(1) == b""
    b.sendall(b"answer")
    b.close()
    assert whole(a, 6) == b"answer" and a.recv(1) == b""


def reset():
    a, b = pair()
    b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    b.close()
    try:
        a.recv(1)
        raise SystemExit("no reset")
    except ConnectionResetError:
        pass
    # And what comes before one is not lost.
    a, b = pair()
    b.sendall(b"before")
    assert whole(a, 6) == b"before"


def broken_pipe():
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    a, b = pair()
    b.close()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            a.send(b"x")
        except (BrokenPipeError, ConnectionResetError):
            return
        time.sleep(0.01)
    raise SystemExit("no error")


def back_pressure():
    a, b = pair()
    a.setblocking(False)
    sent = 0
    data = os.urandom(1 << 20)
    # What nobody reads does not go on for ever.
    idle = time.monotonic()
    while time.monotonic() - idle < 1:
        try:
            at = sent % len(data)
            sent += a.send(data[at : at + 65536])
            idle = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
        assert sent < 256 << 20
    assert sent > 100000
    a.shutdown(socket.SHUT_WR)
    got = 0
    while True:
        piece = b.recv(1 << 16)
        if not piece:
            break
        at = got % len(data)
        expected = (data + data)[at : at + len(piece)]
        assert piece == expected, got
        got += len(piece)
    assert got == sent, (got, sent)


def copies():
    a, b = pair()
    c = os.dup(a.fileno())
    import fcntl

    d = fcntl.fcntl(a.fileno(), fcntl.F_DUPFD_CLOEXEC, 200)
    assert d >= 200
    a.close()
    os.write(c, b"by c")
    assert whole(b, 4) == b"by c"
    os.close(c)
    again = socket.socket(fileno=d)
    assert again.getpeername() == b.getsockname()
    again.send(b"by d")
    assert whole(b, 4) == b"by d"
    assert fcntl.fcntl(d, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
    again.setblocking(False)
    try:
        again.recv(1)
        raise SystemExit("it did not say that it would wait")
    except BlockingIOError:
        pass
    again.close()
    assert b.recv(1) == b""


def sendfile_and_splice():
    a, b = pair()
    data = os.urandom(300000)
    name = "lklrun-sendfile"
    with open(name, "wb") as f:
        f.write(data)
    pid = os.fork()
    if pid == 0:
        with open(name, "rb") as f:
            at = 0
            while at < len(data):
                at += os.sendfile(a.fileno(), f.fileno(), at, len(data) - at)
        os._exit(0)
    assert whole(b, len(data)) == data
    assert os.waitpid(pid, 0)[1] == 0
    os.unlink(name)
    r, w = os.pipe()
    os.write(w, b"spliced")
    assert os.splice(r, a.fileno(), 7) == 7
    end = time.monotonic() + 10
    assert select.select([b], [], [], 10)[0]
    assert os.splice(b.fileno(), w, 7) == 7
    assert os.read(r, 7) == b"spliced"


def inherited():
    a, b = pair()
    pid = os.fork()
    if pid == 0:
        a.close()
        b.sendall(b"from the child of " + b.getpeername()[0].encode())
        os._exit(0)
    b.close()
    assert a.recv(100) == b"from the child of 127.0.0.1"
    assert a.recv(1) == b""
    os.waitpid(pid, 0)
    # Over exec, too, at another number.
    a, b = pair()
    script = "import socket, sys; s = socket.socket(fileno=0); print(s.getsockname()[1], file=sys.stderr); s.sendall(b'executed')"
    pid = os.fork()
    if pid == 0:
        os.dup2(b.fileno(), 0)
        os.execvp("python3", ["python3", "-c", script])
    b.close()
    assert whole(a, 8) == b"executed"
    assert os.waitpid(pid, 0)[1] == 0


def passed_on():
    one, other = socket.socketpair()
    a, b = pair()
    pid = os.fork()
    if pid == 0:
        a.close()
        b.close()
        _, fds, _, _ = socket.recv_fds(other, 10, 1)
        s = socket.socket(fileno=fds[0])
        s.sendall(str(s.getsockname()[1]).encode())
        os._exit(0)
    socket.send_fds(one, [b"x"], [b.fileno()])
    port = str(b.getsockname()[1]).encode()
    b.close()
    assert a.recv(100) == port
    assert a.recv(1) == b""
    os.waitpid(pid, 0)


def many_acceptors():
    l = listener(64)
    counts = []
    for _ in range(2):
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            for _ in range(10):
                s, _ = l.accept()
                s.sendall(b"served")
                s.close()
            os._exit(0)
        counts.append(pid)
    for _ in range(20):
        with socket.create_connection(l.getsockname()) as s:
            assert whole(s, 6) == b"served"
    for pid in counts:
        assert os.waitpid(pid, 0)[1] == 0


def accept_does_not_wait():
    l = listener()
    l.setblocking(False)
    try:
        l.accept()
        raise SystemExit("accepted nothing")
    except BlockingIOError:
        pass
    s = socket.create_connection(l.getsockname())
    assert select.select([l], [], [], 10)[0]
    b, address = l.accept()
    assert address == s.getsockname()
    assert select.select([l], [], [], 0)[0] == []
    # A port is free again when its listener is closed.
    place = l.getsockname()
    l.close()
    s.close()
    b.close()
    end = time.monotonic() + 10
    while True:
        n = socket.socket()
        n.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            n.bind(place)
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.01)


def datagrams():
    s, c = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    for u in (s, c):
        u.bind(LOCAL)
        u.settimeout(10)
    for n in range(50):
        c.sendto(b"%d" % n * 20, s.getsockname())
    for n in range(50):
        data, address = s.recvfrom(2000)
        assert data == b"%d" % n * 20 and address == c.getsockname()
    # Senders are told apart, and each is the right one.
    others = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(5)]
    for o in others:
        o.sendto(b"", s.getsockname())
        o.sendto(b"me", s.getsockname())
    for o in others:
        for expected in (b"", b"me"):
            data, address = s.recvfrom(10)
            assert data == expected and address[1] == o.getsockname()[1], (data, address)
    c.sendto(b"peeked at", s.getsockname())
    assert s.recvfrom(4, socket.MSG_PEEK)[0] == b"peek"
    buffer = bytearray(4)
    assert s.recv_into(buffer, 4, socket.MSG_TRUNC) in (4, 9)
    c.sendto(b"cut short", s.getsockname())
    data, _, flags, address = s.recvmsg(3)
    assert data == b"cut" and flags & socket.MSG_TRUNC and address == c.getsockname()
    s.setblocking(False)
    try:
        s.recvfrom(10)
        raise SystemExit("received nothing")
    except BlockingIOError:
        pass
    # Connected: read and write, on either side.
    s.setblocking(True)
    s.connect(c.getsockname())
    c.connect(s.getsockname())
    for n in range(100):
        assert os.write(c.fileno(), b"w%d" % n) == len(b"w%d" % n)
    for n in range(100):
        assert os.read(s.fileno(), 100) == b"w%d" % n
    s.send(b"s")
    assert c.recvfrom(10) == (b"s", s.getsockname())
    big = os.urandom(60000)
    s.send(big)
    assert c.recv(65536) == big


def control_messages():
    s, c = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    s.bind(("0.0.0.0", 0))
    s.settimeout(10)
    IP_PKTINFO = 8
    s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    c.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x28)
    c.sendmsg([b"in ", b"pieces"], [], 0, ("127.0.0.1", s.getsockname()[1]))
    data, control, _, _ = s.recvmsg(100, 200)
    kinds = {kind: value for _, kind, value in control}
    assert data == b"in pieces"
    assert socket.inet_ntoa(kinds[IP_PKTINFO][8:12]) == "127.0.0.1"
    assert kinds[socket.IP_TOS][0] == 0x28, kinds


def options():
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
    assert s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"bbr"
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_INET
    a, b = pair()
    a.settimeout(None)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200000))
    try:
        a.recv(1)
        raise SystemExit("received nothing")
    except BlockingIOError:
        pass
    info = a.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    assert info[0] == 1, "established"
    u = socket.socket(type=socket.SOCK_DGRAM)
    u.bind(LOCAL)
    u.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200000))
    began = time.monotonic()
    try:
        u.recvfrom(1)
        raise SystemExit("received nothing")
    except BlockingIOError:
        assert 0.1 < time.monotonic() - began < 5


def ipv6():
    l = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    for host in ("::1", "127.0.0.1"):
        with socket.create_connection((host, l.getsockname()[1])) as s:
            b, address = l.accept()
            assert address[0] in ("::1", "::ffff:127.0.0.1")
            s.sendall(b"six")
            assert whole(b, 3) == b"six"


def machines_own():
    a, b = socket.socketpair()
    a.sendmsg([b"x"])
    assert b.recvmsg(10)[0] == b"x"
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    a.send(b"y")
    _, control, _, _ = b.recvmsg(10, 100)
    assert struct.unpack("iII", control[0][2])[0] == os.getpid()
    assert b.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_UNIX


globals()[sys.argv[1]]()
print(sys.argv[1], "ok")
