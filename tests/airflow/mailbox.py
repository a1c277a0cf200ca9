"""A mail server that keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage


class Mailbox:
    """Speaks as much SMTP (RFC 5321) as a client needs, on loopback."""

    def __init__(self) -> None:
        self.messages: list[tuple[list[str], EmailMessage]] = []
        mailbox = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                mailbox._talk(self)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])

    def _talk(self, peer: socketserver.StreamRequestHandler) -> None:
        def say(line: str) -> None:
            peer.wfile.write(f"{line}\r\n".encode())

        say("220 mailbox")
        recipients: list[str] = []
        while line := peer.rfile.readline().decode().strip():
            verb = line.split(" ", 1)[0].upper()
            if verb == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0])
            if verb == "DATA":
                say("354 go on")
                data = b""
                while (text := peer.rfile.readline()) not in (b".\r\n", b""):
                    data += text.removeprefix(b".") if text.startswith(b"..") else text
                message = email.message_from_bytes(data, policy=email.policy.default)
                assert isinstance(message, EmailMessage)
                self.messages.append((recipients, message))
                recipients = []
            say("221 bye" if verb == "QUIT" else "250 ok")
            if verb == "QUIT":
                return


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Run one for the length of a `with`."""
    running = Mailbox()
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.server.shutdown()
        running.server.server_close()
        thread.join()
