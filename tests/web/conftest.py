"""One Chromium for each file of tests, and two dashboards: a real one, to which the browser is signed in, and a scripted one
for faults that a real dashboard cannot produce."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from browser import Browser  # noqa: E402
from dashboard import BINARY, Dashboard, sign_in  # noqa: E402
from lib import proxies  # noqa: E402
from mock import Mock  # noqa: E402


@pytest.fixture(scope="module")
def chromium():
    browser = Browser(any_certificate=bool(proxies.PROXY))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def dashboard():
    if not BINARY.exists():
        pytest.skip("nixfleet-dashboard is not built")
    server = Dashboard()
    yield server
    server.close()


@pytest.fixture(scope="module")
def session(chromium, dashboard):
    """The browser, signed in to the real dashboard."""
    sign_in(chromium, dashboard.url)
    return chromium


@pytest.fixture
def signed_in(session, dashboard):
    """The page of the real dashboard. The test loads the page with `load()`. At the end of the test there must be no violation of
    the content security policy and no script error."""
    yield from loader(session, dashboard.url)


@pytest.fixture
def mock():
    server = Mock()
    yield server
    server.close()


FIRST_ROWS = 24  # fleet.js shows only so many rows until the page is scrolled


@pytest.fixture
def page(chromium, mock):
    """The page of the scripted dashboard."""
    for ready in loader(chromium, mock.url):
        load = ready.load

        def with_hosts(path="/", load=load):
            load(path)
            chromium.wait(lambda: chromium.count("tr.host") == min(len(mock.hosts), FIRST_ROWS), "the hosts")
            return chromium

        ready.load = with_hosts
        yield ready


def loader(chromium, url):
    chromium.size(1280, 900)
    chromium.scheme("light")
    chromium.mouse(2, 2)

    def load(path="/"):
        chromium.driver.get("about:blank")
        chromium.driver.get(url + path)
        chromium.wait(lambda: chromium.text("#conn-text") == "Live", "the connection")
        return chromium

    chromium.load = load
    yield chromium
    assert chromium.problems() == []
    chromium.driver.get("about:blank")
