#!/usr/bin/env python3
"""stranger.py ADDRESS HOW: a connection that is no peer at all. Exits with 0 once the node ends it.

HOW: random, http, nothing, half (of a TLS hello), later (garbage behind a TLS hello),
     no-certificate, crowd COUNT (connections that say nothing; waits for no end, prints "held" and
     holds them until its input ends).
"""
import random
import socket
import ssl
import sys

WAIT_S = 60


def hello() -> bytes:
    """The bytes of a sound ClientHello."""
    to_peer = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["zactor/1"])
    stream = context.wrap_bio(ssl.MemoryBIO(), to_peer)
    try:
        stream.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return to_peer.read()


def wait_for_end(connection: socket.socket) -> None:
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass


def without_certificate(connection: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["zactor/1"])
    try:
        with context.wrap_socket(connection) as stream:
            stream.recv(1)  # TLS 1.3 tells the client only now
    except (ssl.SSLError, ConnectionResetError):
        return
    sys.exit("stranger: let in without a certificate")


def crowd(at: tuple, count: int) -> None:
    held = [socket.create_connection(at, WAIT_S) for _ in range(count)]
    print("held", flush=True)
    sys.stdin.read()
    for connection in held:
        connection.close()


def main() -> None:
    host, port = sys.argv[1].rsplit(":", 1)
    how = sys.argv[2]
    at = (host, int(port))
    if how == "crowd":
        crowd(at, int(sys.argv[3]))
        return
    connection = socket.create_connection(at, WAIT_S)
    connection.settimeout(WAIT_S)
    if how == "no-certificate":
        without_certificate(connection)
        return
    text = {
        "random": random.Random(7).randbytes(4096),
        "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "nothing": b"",
        "half": hello()[:60],
        "later": hello() + b"\x16\x03\x03\x40\x00" + bytes(0x4000),
    }[how]
    connection.sendall(text)
    wait_for_end(connection)


main()
