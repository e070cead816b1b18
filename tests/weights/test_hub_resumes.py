"""Large files of the hub go on where they stopped, in the same process or in another one."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest
from huggingface_hub import constants, scan_cache_dir

from flashdreams.errors import DownloadError, WeightsHashError
from flashdreams.io.fetching import fetching_for
from flashdreams.io.hub import fetch
from flashdreams.io.hub_client import folder
from flashdreams.io.needs import needs_of
from flashdreams.io.room import rooms
from flashdreams.io.url_client import PIECE

COMMIT = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
HEEDS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""A parent such as nohup may have switched it off."""
WEIGHTS = bytes(range(256)) * 400


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def entry(content, revision=COMMIT):
    facts = {} if content is None else {"sha256": sha256(content), "bytes": len(content)}
    return {"w": {"repo": "owner/model", "revision": revision, "files": {"w.bin": facts}}}


@pytest.fixture
def repo(hub):
    return hub.add("owner/model", {"w.bin": WEIGHTS}, large={"w.bin"})


@pytest.fixture
def pinned(repo, package):
    """A reference whose one file is pinned wholly, and served."""
    return package(entry(WEIGHTS)) + ":w"


@pytest.fixture
def unknown(repo, package):
    """A reference of which nothing is known but the names."""
    return package(entry(None, revision=None)) + ":w"


@pytest.fixture
def part(hub, pinned):
    """What is here after the source has broken off twice, the second time before it gave anything."""
    hub.breaks = [1000, 0]
    with pytest.raises(DownloadError, match="IncompleteRead"):
        fetch(pinned)
    (part,) = parts()
    return part


def parts():
    return list(folder().rglob("*.incomplete"))


def ranges(hub):
    return [range for method, path, range in hub.requests if method == "GET" and "/api/" not in path]


def test_the_library_finds_what_was_fetched_for_it(hub, pinned):
    path = fetch(pinned)
    assert (path.name, path.parent.name, path.parents[1].name) == ("w.bin", COMMIT, "snapshots")
    assert path.resolve() == folder() / "models--owner--model" / "blobs" / sha256(WEIGHTS)
    assert ranges(hub) == [None]
    assert parts() == []
    (held,) = scan_cache_dir(folder()).repos
    assert held.size_on_disk == len(WEIGHTS)


def test_a_download_that_breaks_off_goes_on_by_itself(hub, pinned):
    hub.breaks = [1000, 70_000]
    assert fetch(pinned).read_bytes() == WEIGHTS
    assert ranges(hub) == [None, "bytes=1000-", "bytes=71000-"]


def test_the_next_try_asks_for_the_rest_alone(hub, pinned, part):
    assert part.read_bytes() == WEIGHTS[:1000]
    asked = len(ranges(hub))
    assert fetch(pinned).read_bytes() == WEIGHTS
    assert ranges(hub)[asked:] == ["bytes=1000-"]
    assert not part.exists()


def test_only_the_rest_needs_room(pinned, part):
    (room,) = rooms([needs_of(pinned)])
    assert room.wanted == len(WEIGHTS) - 1000


def test_the_library_can_clear_it_away(part):
    (incomplete,) = scan_cache_dir(folder()).incomplete_files
    assert incomplete.file_path == part


def test_a_tampered_part_does_not_become_a_file(pinned, part):
    part.write_bytes(b"x" + WEIGHTS[1:1000])
    with fetching_for("a-slug"), pytest.raises(WeightsHashError) as caught:
        fetch(pinned)
    tampered = sha256(b"x" + WEIGHTS[1:])
    assert (caught.value.expected, caught.value.actual) == (sha256(WEIGHTS), tampered)
    assert caught.value.what.endswith(f"/w.bin came with the SHA-256 {tampered[:12]}...")
    assert caught.value.next == "It was deleted again; try: flashdreams download a-slug"
    assert [path for path in folder().rglob("*") if path.is_file() and path.stat().st_size >= 1000] == []
    assert fetch(pinned).read_bytes() == WEIGHTS


def test_another_version_begins_afresh(hub, repo, unknown):
    hub.breaks = [1000, 0]
    with pytest.raises(DownloadError):
        fetch(unknown)
    asked = len(ranges(hub))
    repo.files["w.bin"] = newer = WEIGHTS[::-1]
    repo.commit = "d" * 40
    path = fetch(unknown)
    assert (path.read_bytes(), path.parent.name) == (newer, "d" * 40)
    assert ranges(hub)[asked:] == [None]


def test_another_host_gives_the_content_and_gets_no_token(hub, repo, pinned, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    port = urlsplit(hub.url).port
    repo.store = f"http://localhost:{port}/plain"
    hub.plain[sha256(WEIGHTS)] = WEIGHTS
    hub.breaks = [1000]
    assert fetch(pinned).read_bytes() == WEIGHTS
    own, other = (f"127.0.0.1:{port}", "Bearer hf_secret"), (f"localhost:{port}", None)
    assert hub.tokens == [own, other, own, other]
    assert ranges(hub) == [None, None, "bytes=1000-", "bytes=1000-"]


def test_a_renamed_repository_gets_the_token_too(hub, repo, pinned, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.repos["owner/renamed"] = repo
    hub.sends[f"/owner/model/resolve/{COMMIT}/w.bin"] = f"/owner/renamed/resolve/{COMMIT}/w.bin"
    assert fetch(pinned).read_bytes() == WEIGHTS
    assert [token for _, token in hub.tokens] == ["Bearer hf_secret"] * 2


def test_a_store_where_anybody_could_answer_is_refused(repo, pinned):
    repo.store = "http://elsewhere.example"
    with pytest.raises(DownloadError, match="sends us to http://elsewhere.example/.*, which is not https"):
        fetch(pinned)


def test_small_files_are_left_to_the_library(hub, repo, pinned):
    repo.large.clear()
    hub.breaks = [1000]
    assert fetch(pinned).read_bytes() == WEIGHTS
    assert parts() == []


def test_a_disk_without_links_holds_it_once(pinned, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    path = fetch(pinned)
    assert not path.is_symlink()
    assert [path] == [file for file in folder().rglob("*") if file.is_file() and file.stat().st_size > 1000]


def test_two_at_a_time_fetch_it_once(hub, pinned):
    threads = [threading.Thread(target=fetch, args=(pinned,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetch(pinned).read_bytes() == WEIGHTS
    assert ranges(hub) == [None]


def test_ctrl_c_keeps_what_came(hub, repo, package, tmp_path):
    """In a process of its own: the hub is slow, and the user gives up."""
    repo.files["w.bin"] = large = WEIGHTS * 30
    reference = package(entry(large)) + ":w"
    folders = {"PYTHONPATH": str(tmp_path / "site"), "HF_HUB_CACHE": str(folder()), "HF_ENDPOINT": hub.url}
    hub.stall = 2 * PIECE
    with subprocess.Popen(
        [sys.executable, "-c", f"{HEEDS_CTRL_C}; from flashdreams.io.hub import fetch; fetch({reference!r})"],
        env={**os.environ, **folders},
        stderr=subprocess.PIPE,
    ) as process:
        assert hub.stalled.wait(30)
        while not (here := parts()) or here[0].stat().st_size < PIECE:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
    hub.stall = None
    hub.go_on.set()
    (part,) = parts()
    begun = part.stat().st_size
    assert begun >= PIECE
    assert fetch(reference).read_bytes() == large
    assert ranges(hub) == [None, f"bytes={begun}-"]


def test_a_mirror_without_https_is_left_to_the_library(hub, pinned, monkeypatch):
    mirror = hub.url.replace("127.0.0.1", "127.1")
    monkeypatch.setattr(constants, "ENDPOINT", mirror)
    template = mirror + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    hub.breaks = [1000, 0]
    assert fetch(pinned).read_bytes() == WEIGHTS
    assert parts() == []
