"""The page behind nginx, haproxy and Caddy, with TLS. Each common configuration of the proxy works, or the page says what to change
in it."""

import contextlib
import http.client
import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from browser import Browser
from dashboard import PASSWORD, Dashboard, sign_in
from person import ROW

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from lib import people  # noqa: E402
from lib.proxies import CA, CADDY, HAPROXY, NGINX, Nginx  # noqa: E402
from lib.proxies import front as front_of  # noqa: E402

pytestmark = pytest.mark.skipif(not (NGINX and HAPROXY and CADDY), reason="nginx, haproxy or Caddy is not installed")


@pytest.fixture(scope="module")
def chromium():
    browser = Browser(any_certificate=True)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def dashboard():
    server = Dashboard(NIXFLEET_TRUST_PROXY_HEADERS="true", NIXFLEET_TRUSTED_PROXY_IPS="127.0.0.1", NIXFLEET_VIEW_TOKEN="view")
    yield server
    server.close()


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return CA(tmp_path_factory.mktemp("ca"))


def proxy(kind, directory, ca, dashboard):
    return front_of(kind, directory, ca, dashboard.url.removeprefix("http://"))


@pytest.fixture
def session(chromium, tmp_path, ca, dashboard):
    """The browser, signed in once for all proxies: cookies ignore the port, and the dashboard allows only five sign-ins a minute."""
    with proxy("http_host", tmp_path / "way-in", ca, dashboard) as way_in:
        chromium.driver.get(way_in.url + "/static/favicon.svg")
        if not chromium.driver.get_cookie("nixfleet_session"):
            sign_in(chromium, way_in.url)
        chromium.driver.get("about:blank")
    return chromium


@pytest.fixture
def front(request, tmp_path, ca, dashboard, chromium):
    with proxy(request.param, tmp_path / "proxy", ca, dashboard) as running:
        yield running
        chromium.driver.get("about:blank")  # the page must not see the connections break


def get(front, path, token="view", headers=None):
    request = urllib.request.Request(front.url + path, headers={"Authorization": "Bearer " + token, **(headers or {})})
    try:
        return urllib.request.urlopen(request, context=front.ca.context(), timeout=20)
    except urllib.error.HTTPError as refused:
        return refused


def address_seen(front):
    """The client address that the dashboard sees when a client of the proxy sends a forged X-Forwarded-For."""
    connection = http.client.HTTPSConnection("localhost", front.port, context=front.ca.context(), timeout=20, source_address=("127.0.0.5", 0))
    with contextlib.closing(connection):
        connection.request("GET", "/api/session", headers={"Authorization": "Bearer view", "X-Forwarded-For": "203.0.113.9"})
        return json.load(connection.getresponse())["address"]


@pytest.mark.parametrize("front", ["http_host", "manual", "haproxy", "caddy"], indirect=True)
def test_the_page_works_through_a_proxy(front, chromium, dashboard):
    chromium.cdp("Network.clearBrowserCookies")
    run = dashboard.has("behind", ["one", "two", "three"])
    address = f"/#behind/{run}/L2"
    sign_in(chromium, front.url, path=address)  # the form keeps the link
    assert chromium.driver.current_url == front.url + address
    chromium.wait(lambda: chromium.count(ROW % "behind" + ".row") > 0 or chromium.count(".row") > 0, "the log that the link names")
    cookie = chromium.driver.get_cookie("nixfleet_session")
    assert cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    dashboard.has("newcomer")
    chromium.wait(lambda: chromium.count("tbody[data-host=newcomer], tr[data-host=newcomer]") >= 1, "a change, live")
    assert address_seen(front) == "127.0.0.5"
    assert chromium.problems() == []


class Form:
    """The sign-in form in a browser."""

    def __init__(self, chromium):
        self.chromium = chromium

    def shown(self):
        self.chromium.wait(lambda: "/login" in self.chromium.driver.current_url and self.chromium.visible("input[name=totp]"), "the form")

    def send(self, password, code):
        self.shown()
        self.chromium.js("document.body.dataset.old = 'yes'")
        self.chromium.type("input[name=password]", password)
        self.chromium.type("input[name=totp]", code)
        self.chromium.click("form button")
        self.chromium.wait(lambda: self.chromium.js("return document.readyState === 'complete' && document.body.dataset.old !== 'yes'"), "the answer")

    def refuses(self, password, code, words):
        self.send(password, code)
        self.chromium.wait(lambda: self.chromium.visible("#error") and words in self.chromium.text("#error"), words, timeout=20)

    def too_many(self):
        self.send("wrong", "000000")
        self.chromium.wait(lambda: self.chromium.visible("#error"), "the reason")
        return "Too many tries" in self.chromium.text("#error")

    def accepts(self, password, code):
        self.send(password, code)
        self.live()

    def live(self):
        self.chromium.wait(lambda: self.chromium.count("#conn-text") == 1 and self.chromium.text("#conn-text") == "Live", "the page")


def wrong(code):
    return f"{(int(code) + 1) % 1000000:06d}"


@pytest.mark.parametrize("kind", ["manual", "haproxy", "caddy"])
def test_a_person_signs_in_and_out_through_a_proxy(kind, tmp_path, ca, chromium):
    """With a second factor: wrong password, wrong code, a code with a space, a link that the form keeps, a session that expires,
    signing out, too many tries."""
    server = Dashboard(NIXFLEET_TRUST_PROXY_HEADERS="true", NIXFLEET_TRUSTED_PROXY_IPS="127.0.0.1", NIXFLEET_TOTP_SECRET=people.TOTP)
    form = Form(chromium)
    try:
        run = server.has("behind", ["one", "two", "three"])
        with proxy(kind, tmp_path / "proxy", ca, server) as front:
            chromium.driver.get(front.url + "/static/favicon.svg")
            chromium.cdp("Network.clearBrowserCookies")
            chromium.driver.get(front.url + f"/#behind/{run}/L2")
            form.refuses("wrong", people.totp(), "Invalid password")
            form.refuses(PASSWORD, wrong(people.totp()), "Invalid TOTP code")
            code = people.totp()
            form.accepts(PASSWORD, f"{code[:3]} {code[3:]}")
            assert chromium.driver.current_url == front.url + f"/#behind/{run}/L2"

            whole = chromium.driver.get_cookie("nixfleet_session")
            short = people.cookie_that_ends({"Cookie": "nixfleet_session=" + whole["value"]}, time.time() + 3, secret="s" * 64)
            chromium.driver.add_cookie(dict(whole, value=short["Cookie"].split("=", 1)[1]))
            chromium.driver.refresh()
            form.shown()  # the page goes there by itself when the session expires

            chromium.driver.add_cookie(whole)
            chromium.driver.get(front.url + "/")
            form.live()
            chromium.click("#logout button")
            form.shown()
            assert chromium.driver.get_cookie("nixfleet_session") is None
            chromium.driver.get(front.url + "/")
            assert any(form.too_many() for _ in range(6))
            chromium.driver.get("about:blank")
        log = (Path(server.data) / "log").read_text()
        assert re.search(r"refused sign-in from (127\.0\.0\.1|::1): too many tries", log) and log.count("signed in from ") == 1
    finally:
        server.close()


@pytest.mark.parametrize("front", ["http_host", "host", "plain", "manual", "haproxy", "caddy"], indirect=True)
def test_events_are_not_held_back(front, dashboard):
    with get(front, "/api/events") as stream:
        assert stream.readline() == b"event: connected\n"
        dashboard.has("streamed")
        while stream.readline() != b"event: host_update\n":
            pass


@pytest.mark.parametrize("front, words", [("host", ["Host header", "localhost:", "$http_host"]), ("plain", ["Host header", "127.0.0.1:", "$http_host"])], indirect=["front"])
def test_the_page_says_what_the_proxy_must_do(front, words, session, dashboard):
    chromium = session
    chromium.driver.get(front.url + "/")
    chromium.wait(lambda: chromium.visible("#lost") and all(word in chromium.text("#lost-text") for word in words), "the advice", timeout=60)


def test_a_proxy_that_drops_the_upgrade_is_named(tmp_path, ca, dashboard, session):
    with Nginx(tmp_path / "proxy", ca, dashboard.url.removeprefix("http://"), location="proxy_set_header Host $http_host;") as front:
        session.driver.get(front.url + "/")
        session.wait(lambda: session.visible("#lost") and "Upgrade" in session.text("#lost-text"), "the advice", timeout=60)
        session.driver.get("about:blank")


def test_a_prefix_is_refused_whether_the_proxy_strips_it_or_not(tmp_path, ca, dashboard, chromium):
    chromium.cdp("Network.clearBrowserCookies")
    upstream = dashboard.url.removeprefix("http://")
    with Nginx(tmp_path / "kept", ca, upstream, path="/fleet/") as front:
        for path in ("/fleet/login", "/fleet/api/hosts", "/fleet/"):
            refused = get(front, path)
            assert refused.status == 404
        assert "host name of its own" in json.load(get(front, "/fleet/login"))["detail"]
    with Nginx(tmp_path / "stripped", ca, upstream, path="/fleet/", target="/") as front:
        chromium.driver.get(front.url + "/fleet/")
        chromium.wait(lambda: chromium.visible(".below-prefix") and "host name of its own" in chromium.text(".below-prefix"), "what is wrong")
        chromium.driver.get("about:blank")


def test_a_link_from_another_site_opens_the_page_and_forges_nothing(tmp_path, ca, dashboard, chromium):
    """The cookie has SameSite=Lax. For the browser, 127.0.0.1 and localhost are different sites."""
    chromium.cdp("Network.clearBrowserCookies")
    dashboard.register("linked")
    with proxy("http_host", tmp_path / "proxy", ca, dashboard) as front:
        sign_in(chromium, front.url)
        other = front.url.replace("localhost", "127.0.0.1")
        chromium.driver.get(other + "/static/favicon.svg")
        chromium.driver.get("data:text/html,<a id=link href='" + front.url + "/%23linked'>chat</a><form id=forged method=post action='" + front.url +
                            "/api/hosts/linked/command'><input name=command value=switch></form>")
        chromium.driver.find_element("css selector", "#link").click()
        chromium.wait(lambda: chromium.text("#conn-text") == "Live" and chromium.driver.current_url == front.url + "/#linked", "the page")
        chromium.driver.get("data:text/html,<form id=forged method=post action='" + front.url + "/api/hosts/linked/command'><input name=command value=switch></form>")
        chromium.js("document.getElementById('forged').submit()")
        chromium.wait(lambda: chromium.driver.current_url.startswith(front.url) and "Not authenticated" in chromium.driver.page_source, "the refusal")
        assert dashboard.call("GET", "/api/hosts/linked", token="view")["pending_command"] is None
        chromium.driver.get("about:blank")


def test_tls_is_verified(tmp_path, ca, dashboard):
    with proxy("http_host", tmp_path / "proxy", ca, dashboard) as front:
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(front.url + "/health", context=ssl.create_default_context(), timeout=20)
        assert get(front, "/health").status == 200
