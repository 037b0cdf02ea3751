"""Writers that send lines as nixfleet-report does: they send each batch again until it is acknowledged."""
import http.client
import json
import random
import threading
import time
import uuid

from lib.dashserver import TOKEN, wait_for
from lib.wrapper import PATIENCE_S


def logs(host):
    return f"/api/hosts/{host}/logs"


def whole(dashboard, host, run):
    """The log of a run, once the dashboard can read it."""
    def read():
        answer = dashboard.get(f"/api/hosts/{host}/runs/{run}/log")
        assert answer.status in (200, 503), answer.body
        return answer if answer.status == 200 else None
    return wait_for(read, seconds=40, what="a dashboard that reads").body.decode()


class Writer(threading.Thread):
    """Posts numbered lines to its own run, and waits `pause` seconds after each batch. Sends a batch again until it is acknowledged."""

    def __init__(self, dashboard, number, pause=0):
        super().__init__(daemon=True)
        self.dashboard, self.host, self.run_id = dashboard, f"writer-{number}", str(uuid.uuid4())
        self.random, self.pause = random.Random(number), pause
        self.acked, self.stopping, self.problem = 0, False, None

    def body(self):
        count = self.random.randrange(1, 40)
        return count, json.dumps({"run": self.run_id, "from": self.acked, "text": "\n".join(f"line {self.acked + i}" for i in range(count))})

    def run(self):
        connection = None
        while not self.stopping and not self.problem:
            count, body = self.body()
            while not self.stopping:
                try:
                    connection = connection or http.client.HTTPConnection(self.dashboard.url.removeprefix("http://"), timeout=PATIENCE_S)
                    connection.request("POST", logs(self.host), body, {"Authorization": "Bearer " + TOKEN})
                    answer = connection.getresponse()
                    said = json.loads(answer.read())
                except (OSError, http.client.HTTPException, ValueError):
                    connection = None
                    time.sleep(0.005)
                    continue
                if answer.status in (502, 503, 504):  # from the dashboard, or from a proxy without a dashboard
                    time.sleep(0.02)
                    continue
                if answer.status == 200 and said["next"] == self.acked + count:
                    self.acked += count
                    time.sleep(self.pause)
                else:
                    self.problem = (answer.status, said, self.acked, count)
                break


def start(dashboard, count, first=0, pause=0):
    writers = [Writer(dashboard, first + number, pause) for number in range(count)]
    for writer in writers:
        writer.start()
    return writers


def stop(writers):
    for writer in writers:
        writer.stopping = True
    for writer in writers:
        writer.join()


def check(dashboard, writer):
    """Every acknowledged line is there once, in order. After them there is at most the batch whose answer was lost."""
    assert writer.problem is None, writer.problem
    stored = whole(dashboard, writer.host, writer.run_id).split()[1::2]
    assert stored == [str(i) for i in range(len(stored))]
    assert writer.acked <= len(stored) <= writer.acked + 40
