"""A TCP proxy on loopback that disturbs its connections at random, from a seed."""
import random
import socket
import threading
import time


class Proxy:
    """Forwards to 127.0.0.1:target. trouble is the chance (0 to 1) that a connection is refused, cut or slowed."""

    def __init__(self, target, seed):
        self.target = target
        self.trouble = 0.0
        self.random = random.Random(seed)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        fault = self.random.choice(["refuse", "cut", "cut", "slow", "hole"]) if self.random.random() < self.trouble else ""
        if fault == "refuse":
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            client.close()
            return
        budget = [self.random.randrange(0, 40000)] if fault == "cut" else [1 << 60]
        for a, b in ((client, server), (server, client)):
            threading.Thread(target=self._pipe, args=(a, b, fault, budget), daemon=True).start()

    @staticmethod
    def _pipe(source, sink, fault, budget):
        try:
            while True:
                data = source.recv(4096)
                if not data:
                    break
                if fault == "slow":
                    time.sleep(0.05)
                if fault == "hole":
                    continue
                budget[0] -= len(data)
                if budget[0] < 0:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
