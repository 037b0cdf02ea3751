"""One Chromium for each file of tests, and a scripted dashboard for each test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from browser import Browser  # noqa: E402
from mock import Mock  # noqa: E402


@pytest.fixture(scope="module")
def chromium():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def mock():
    server = Mock()
    yield server
    server.close()


@pytest.fixture
def page(chromium, mock):
    """A page that is loaded on demand; at the end nothing may have broken the content security policy or thrown."""
    chromium.size(1280, 900)
    chromium.scheme("light")
    chromium.mouse(2, 2)

    def load(path="/"):
        chromium.driver.get("about:blank")
        chromium.driver.get(mock.url + path)
        chromium.wait(lambda: chromium.text("#conn-text") == "Live", "the connection")
        chromium.wait(lambda: chromium.count("tr.host") == len(mock.hosts), "the hosts")
        return chromium

    chromium.load = load
    yield chromium
    assert chromium.problems() == []
    chromium.driver.get("about:blank")
