"""Dovecot's authentication service, played: its handshake, and an answer by the name of who authenticates."""
import base64
import os
import socket
import threading

from wait import Board


class AuthService:
    """
    The password of everybody is `password`. A user whose name begins with `later` gets a temporary failure, `silent` no answer, `odd` a
    line that is none, `gone` a closed connection, `alias` is told to be another; `multi` is asked once more, and may say anything.
    """

    def __init__(self, path, mechs=("PLAIN",), version="VERSION\t1\t2"):
        self.path, self.mechs, self.version, self.password = path, mechs, version, "pass"
        self.lines = Board()
        self.sessions = []
        self.listener = None
        self.start()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen()
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
            os.unlink(self.path)
        self.hang_up()

    def hang_up(self):
        for sock in self.sessions:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sessions = []

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.sessions.append(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        hello = [self.version, "SPID\t%d" % os.getpid(), "CUID\t1", "COOKIE\t00"]
        hello += ["MECH\t%s\tx" % mech for mech in self.mechs] + ["DONE"]
        try:
            sock.sendall(("\n".join(hello) + "\n").encode("ascii"))
            asked = {}
            for line in sock.makefile("rb"):
                words = line.decode("ascii").rstrip("\n").split("\t")
                self.lines.add(words)
                said = self.answer(words, asked)
                if said is None:
                    break
                sock.sendall(said.encode("utf-8"))
        except OSError:
            pass
        sock.close()

    def answer(self, words, asked):
        """What is said to a line; None: nothing any more."""
        if words[0] == "CONT":
            return "OK\t%s\tuser=%s\n" % (words[1], asked.pop(words[1]))
        if words[0] != "AUTH":
            return ""
        number, response = words[1], [word for word in words if word.startswith("resp=")][0][5:]
        _, user, password = base64.b64decode(response).decode("utf-8").split("\0")
        if user.startswith("gone"):
            return None
        if user.startswith("multi"):
            asked[number] = user
            return "CONT\t%s\t%s\n" % (number, base64.b64encode(b"and?").decode())
        for name, said in (("later", "FAIL\t%s\tuser=%s\ttemp\n"), ("silent", "%.0s%.0s"), ("odd", "OK\t%s\n%.0s")):
            if user.startswith(name):
                return said % (number, user)
        if password != self.password:
            return "FAIL\t%s\tuser=%s\n" % (number, user)
        return "OK\t%s\tuser=%s\n" % (number, "another" if user.startswith("alias") else user)
