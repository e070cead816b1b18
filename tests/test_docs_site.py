"""The site builds without a warning, fetches nothing from elsewhere, and fits a screen of any width."""

import importlib.util
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CHROMIUM = shutil.which("chromium")
NARROW, WIDE = 390, 1280
LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
"""Elements that make a browser fetch something, and the attribute that says what."""

sphinx = pytest.mark.skipif(importlib.util.find_spec("furo") is None, reason="furo is not installed")


class Fetched(HTMLParser):
    """Addresses that a browser fetches to show a page."""

    def __init__(self, page):
        super().__init__()
        self.addresses = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("index", "search", "next", "prev"):
            self.addresses.append(given["href"])
        elif tag in LOADED and given.get(LOADED[tag]):
            self.addresses.append(given[LOADED[tag]])


def is_elsewhere(address):
    return re.match(r"(\w+:)?//", address) is not None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as `nox -s docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    options = ("-q", "-W", "--keep-going", "-d", folder / "doctrees")
    command = [sys.executable, "-m", "sphinx", *options, DOCS, folder / "html"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@sphinx
def test_every_page_is_on_the_site(site):
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md") if "_build" not in path.parts]
    pages = [page for page in pages if "examples" not in page.parts or page.name == "README.md"]
    assert len(pages) > 60
    assert [page for page in pages if not (site / page.with_suffix(".html")).exists()] == []


@sphinx
def test_a_page_fetches_nothing_from_elsewhere(site):
    assert Fetched('<link rel="stylesheet" href="//a.b/c.css"><img src="https://a.b/c">').addresses == [
        "//a.b/c.css",
        "https://a.b/c",
    ]
    fetched = {
        address
        for page in site.rglob("*.html")
        for address in Fetched(page.read_text(encoding="utf-8")).addresses
    }
    assert len(fetched) > 10
    assert [address for address in fetched if is_elsewhere(address)] == []
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:\w+:)?//", style.read_text(encoding="utf-8")) == []


@sphinx
def test_what_the_fence_of_a_block_says_beside_its_language_is_not_shown(site):
    page = (site / "plugins/model.html").read_text(encoding="utf-8")
    assert "<span" in page[page.index("SteerEncoderConfig") - 200 :]
    assert "file: flashdreams_drift.py" not in page
    assert "needs: environment" not in page


def test_the_picture_stands_alone_and_says_what_it_shows():
    picture = ElementTree.parse(DOCS / "loop.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    assert picture.find(f"{svg}title").text
    assert picture.find(f"{svg}desc").text
    assert not any("href" in name for element in picture.iter() for name in element.attrib)
    words = " ".join("".join(element.itertext()) for element in picture.iter(f"{svg}text"))
    for word in ("encoder", "transformer", "scheduler", "decoder", "KV cache", "sink", "ring", "finalize"):
        assert word in words


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_picture_is_readable_on_light_and_on_dark():
    style = (DOCS / "loop.svg").read_text()
    fills = dict(re.findall(r"\.([\w.-]+) \{[^}]*fill: (#\w{6})", style))
    boxes = [fills[name] for name in ("part", "given", "shown", "sink", "ring")]
    assert min(contrast(box, "#ffffff") for box in boxes) >= 4.5  # white text in boxes
    for note in (fills["note"], fills["note.late-note"]):
        assert min(contrast(note, "#ffffff"), contrast(note, "#131416")) >= 4


@sphinx
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_the_screen_in_a_browser(site, scheme, width):
    playwright = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page, elsewhere, complaints = context.new_page(), [], []
        page.on("request", lambda request: elsewhere.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for path in sorted(site.rglob("*.html")):
            page.goto(path.as_uri())
            beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            broken = page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
            assert (beyond <= 0, broken) == (True, []), path
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (int(re.search(r"\d+", background)[0]) > 128) == (scheme == "light"), path
        browser.close()
    assert [url for url in elsewhere if not url.startswith(("file:", "data:", "blob:"))] == []
    assert complaints == []
