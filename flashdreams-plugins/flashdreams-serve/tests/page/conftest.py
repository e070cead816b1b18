"""What tests of the page share: a browser, and a server of pocket-racer."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("page_visits")

from page_visits import browser_with, served  # noqa: E402 -- its assertions are rewritten first


@pytest.fixture(scope="module")
def driver():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(driver):
    with browser_with(driver) as browser:
        yield browser


@pytest.fixture(scope="module")
def racer(tmp_path_factory):
    with served(tmp_path_factory.mktemp("saved")) as address:
        yield address
