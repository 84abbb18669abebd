"""TLS with the daemon, on either side: settings of its listener, a client that speaks it."""
from certs import HOST
from client import Client


def tls(cert, mode="may", **more):
    return {"tls": dict({"mode": mode, "certificate": cert.file, "key": cert.key}, **more)}


class TlsClient(Client):
    def secure(self, context, host=HOST):
        """The handshake; what came in clear before it must be read."""
        assert not self.held
        self.sock = context.wrap_socket(self.sock, server_hostname=host, suppress_ragged_eofs=False)
        self.greeted = False

    def starttls(self, context):
        self.ehlo()
        assert self.has("STARTTLS")
        self.cmd("STARTTLS", 220)
        self.secure(context)


def connect(relay, context=None, implicit=False):
    c = TlsClient(relay.address(), banner=not implicit)
    if implicit:
        c.secure(context)
        c.banner = c.want(220)
    elif context:
        c.starttls(context)
    return c


def to_tls(mode, authority=None, **more):
    if authority:
        more["ca"] = authority.root
    return {"next_hop_tls": dict(mode=mode, **more)}


def said(sink):
    return [line for _, line in sink.commands.snapshot()]
