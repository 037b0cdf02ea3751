"""A trace of Chromium: the CPU time of the process that draws a page, by thread and by task, with the categories of DevTools'
performance panel. Uses Chromium's DevTools socket directly, because chromedriver does not pass events on."""
import json
import pathlib
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))
from lib.ws import WebSocket  # noqa: E402

PATIENCE_S = 120  # the longest that Chromium may take to write the trace
CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel", "v8", "blink", "cc", "gpu"]
# Which events of the main thread count as which kind of work. An event inside another one is counted only once.
KINDS = {
    "script": ("FunctionCall", "EvaluateScript", "FireAnimationFrame", "TimerFire", "EventDispatch", "RunMicrotasks", "v8.callFunction"),
    "garbage": ("MinorGC", "MajorGC", "V8.GCScavenger", "BlinkGC.AtomicPhase"),
    "style": ("UpdateLayoutTree", "RecalculateStyles"),
    "layout": ("Layout",),
    "paint": ("PrePaint", "Paint", "Layerize", "Commit", "UpdateLayer", "CompositeLayers"),
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}


class DevTools:
    """The browser's DevTools socket."""

    def __init__(self, driver):
        self.address = driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
        with urllib.request.urlopen(f"http://{self.address}/json/version", timeout=10) as answer:
            path = "/" + json.load(answer)["webSocketDebuggerUrl"].split("/", 3)[3]
        self.socket, self.asked = WebSocket(f"http://{self.address}", path), 0
        self.socket.socket.settimeout(PATIENCE_S)

    def ask(self, method, **parameters):
        self.asked += 1
        self.socket.send({"id": self.asked, "method": method, "params": parameters})
        while True:
            message = self.socket.receive()
            if message.get("id") == self.asked:
                return message.get("result") or sys.exit(f"{method}: {message.get('error')}") if "error" in message else message["result"]

    def wait_for(self, event):
        while True:
            message = self.socket.receive()
            if message.get("method") == event:
                return message["params"]

    def close(self):
        self.socket.socket.close()


class Trace:
    """`with Trace(driver) as trace: …` records; afterwards `trace.events` has what happened."""

    def __init__(self, driver):
        self.tools, self.events = DevTools(driver), []

    def __enter__(self):
        self.tools.ask("Tracing.start", transferMode="ReturnAsStream", traceConfig={"recordMode": "recordAsMuchAsPossible", "includedCategories": CATEGORIES})
        return self

    def __exit__(self, *failed):
        self.tools.ask("Tracing.end")
        stream = self.tools.wait_for("Tracing.tracingComplete")["stream"]
        text, more = [], True
        while more:
            part = self.tools.ask("IO.read", handle=stream, size=1 << 20)
            text.append(part["data"])
            more = not part["eof"]
        self.tools.ask("IO.close", handle=stream)
        self.tools.close()
        self.events = json.loads("".join(text))["traceEvents"]

    def cpu(self, pid):
        """CPU seconds of the process `pid`: `threads` by thread name, `all` their sum, `main` of the main thread alone. `kinds` divides
        the main thread's time by kind of work, `names` by the name of the event."""
        threads, kinds, names = {}, {}, {}
        labels = {e["tid"]: e["args"]["name"] for e in self.events if e["ph"] == "M" and e["name"] == "thread_name" and e["pid"] == pid}
        timed = sorted((e for e in self.events if e["pid"] == pid and e["ph"] == "X" and "tdur" in e), key=lambda e: (e["tid"], e["tts"], -e["tdur"]))
        stack = []  # the events that contain this one: (end, thread, kind, name)
        for e in timed:
            while stack and (stack[-1][1] != e["tid"] or stack[-1][0] <= e["tts"]):
                stack.pop()
            seconds, label = e["tdur"] / 1e6, labels.get(e["tid"], "?")
            kind = KIND_OF.get(e["name"]) or (stack[-1][2] if stack else "other")
            if not stack:
                threads[label] = threads.get(label, 0) + seconds
            elif label == "CrRendererMain":  # the time of this event is not the parent's own time
                kinds[stack[-1][2]] -= seconds
                names[stack[-1][3]] -= seconds
            if label == "CrRendererMain":
                kinds[kind] = kinds.get(kind, 0) + seconds
                names[e["name"]] = names.get(e["name"], 0) + seconds
            stack.append((e["tts"] + e["tdur"], e["tid"], kind, e["name"]))
        return {"threads": threads, "main": threads.get("CrRendererMain", 0), "all": sum(threads.values()), "kinds": kinds, "names": names}
