import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from flashdreams.errors import DownloadError, WeightsHashError
from flashdreams.io.fetching import fetching_for, offline
from flashdreams.io.hub import fetch, obtain
from flashdreams.io.needs import needs_of
from flashdreams.io.room import rooms
from flashdreams.io.url_client import PIECE
from flashdreams.io.user_lock import user_lock

HEEDS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""A parent such as nohup may have switched it off."""
CONTENT = bytes(range(256)) * 4000


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def reference(hub, package):
    """A file at a plain address, pinned wholly."""
    hub.plain["tiny.pth"] = CONTENT
    facts = {"sha256": sha256(CONTENT), "bytes": len(CONTENT)}
    return package({"w": {"url": f"{hub.url}/plain/tiny.pth", "files": {"tiny.pth": facts}}}) + ":w"


@pytest.fixture
def unknown(hub, package):
    """Two files at plain addresses, of which nothing is known."""
    hub.plain |= {"a.pth": CONTENT, "b.pth": b"b"}
    return package({"w": {"url": f"{hub.url}/plain", "files": {"a.pth": {}, "b.pth": {}}}}) + ":w"


def ranges(hub):
    return [range for method, _, range in hub.requests if method == "GET"]


def test_it_is_fetched_once_and_lies_in_the_cache(hub, reference, cache):
    path = fetch(reference)
    assert path.read_bytes() == CONTENT
    assert path == cache / "files" / reference.replace(":", "/") / "tiny.pth"
    assert [file.name for file in path.parent.iterdir() if file.name[0] != "."] == ["tiny.pth"]
    before = list(hub.requests)
    with offline():
        assert fetch(reference) == path
    assert hub.requests == before


def test_a_download_that_breaks_off_goes_on_by_itself(hub, reference):
    hub.breaks = [1000, 70_000]
    assert fetch(reference).read_bytes() == CONTENT
    assert ranges(hub) == [None, "bytes=1000-", "bytes=71000-"]


def test_one_that_gets_nowhere_is_given_up_and_goes_on_later(hub, reference):
    hub.breaks = [1000, 0]
    with fetching_for("a-slug"), pytest.raises(DownloadError) as caught:
        fetch(reference)
    assert caught.value.what.startswith(f"{hub.url}/plain/tiny.pth cannot be fetched: IncompleteRead")
    assert caught.value.next == ("Check the network, then go on: flashdreams download a-slug")
    assert fetch(reference).read_bytes() == CONTENT
    assert ranges(hub)[-1] == "bytes=1000-"


def test_the_rest_of_another_version_is_not_put_behind_the_first(hub, unknown):
    hub.breaks = [1000, 0]
    with pytest.raises(DownloadError):
        fetch(unknown)
    hub.plain["a.pth"] = newer = CONTENT[::-1]
    assert fetch(unknown).joinpath("a.pth").read_bytes() == newer


def test_a_part_that_is_whole_already_takes_its_place(hub, reference, cache):
    hub.breaks = [1000, 0]
    with pytest.raises(DownloadError):
        fetch(reference)
    (part,) = cache.rglob("*.part")
    part.write_bytes(CONTENT)
    assert fetch(reference).read_bytes() == CONTENT
    assert ranges(hub)[-1] == f"bytes={len(CONTENT)}-"


def test_a_part_that_is_longer_than_its_source_is_dropped(hub, reference, cache):
    hub.breaks = [1000, 0]
    with pytest.raises(DownloadError):
        fetch(reference)
    (part,) = cache.rglob("*.part")
    part.write_bytes(CONTENT + b"too much")
    assert fetch(reference).read_bytes() == CONTENT


def test_two_at_a_time_fetch_it_once(hub, reference):
    threads = [threading.Thread(target=fetch, args=(reference,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetch(reference).read_bytes() == CONTENT
    assert hub.downloads() == ["/plain/tiny.pth"]


def test_a_tampered_file_does_not_stay(hub, reference):
    hub.plain["tiny.pth"] = b"x" + CONTENT[1:]
    with fetching_for("a-slug"), pytest.raises(WeightsHashError) as caught:
        fetch(reference)
    assert caught.value.expected == sha256(CONTENT)
    assert caught.value.next == "It was deleted again; try: flashdreams download a-slug"
    hub.plain["tiny.pth"] = CONTENT
    assert fetch(reference).read_bytes() == CONTENT


def test_a_shorter_file_is_refused_before_it_is_fetched(hub, reference):
    hub.plain["tiny.pth"] = CONTENT[:-1]
    with pytest.raises(DownloadError, match=f"has tiny.pth with {len(CONTENT) - 1} bytes"):
        fetch(reference)
    assert hub.downloads() == []


def test_what_is_not_known_is_recorded_and_enforced(hub, unknown):
    folder = obtain(unknown).path
    assert json.loads(user_lock().read_text())[unknown]["files"] == {
        "a.pth": {"sha256": sha256(CONTENT), "bytes": len(CONTENT)},
        "b.pth": {"sha256": sha256(b"b"), "bytes": 1},
    }
    folder.joinpath("b.pth").unlink()
    hub.plain["b.pth"] = b"c"
    way_out = f"If its publisher changed it and you trust that, take {unknown} out of {user_lock()}."
    with fetching_for("a-slug"), pytest.raises(WeightsHashError) as caught:
        fetch(unknown)
    assert caught.value.next == f"It was deleted again; try: flashdreams download a-slug\n{way_out}"
    hub.plain["b.pth"] = b"longer"
    with pytest.raises(DownloadError) as caught:
        fetch(unknown)
    assert caught.value.next.endswith(way_out)
    user_lock().write_text("{}")
    assert fetch(unknown).joinpath("b.pth").read_bytes() == b"longer"


def test_no_such_file(hub, reference):
    del hub.plain["tiny.pth"]
    with fetching_for("a-slug"), pytest.raises(DownloadError) as caught:
        fetch(reference)
    assert caught.value.what == f"{hub.url}/plain/tiny.pth cannot be fetched."
    assert caught.value.right == "Its source answers 404 Not Found."
    assert caught.value.next.endswith("flashdreams download a-slug")


def test_offline(hub, reference):
    with offline(), pytest.raises(DownloadError, match=r"tiny\.pth of http.* is not on this machine"):
        fetch(reference)
    assert hub.requests == []


def test_it_may_lie_elsewhere_but_not_where_anybody_could_answer(hub, reference):
    hub.plain["moved.pth"] = hub.plain.pop("tiny.pth")
    hub.sends["tiny.pth"] = f"{hub.url}/plain/moved.pth"
    assert fetch(reference).read_bytes() == CONTENT
    fetch(reference).unlink()
    hub.sends["tiny.pth"] = "http://elsewhere.example/tiny.pth"
    with pytest.raises(DownloadError) as caught:
        fetch(reference)
    assert caught.value.what == f"{hub.url}/plain/tiny.pth cannot be fetched."
    assert caught.value.right == (
        "Its source sends us to http://elsewhere.example/tiny.pth, which is not https."
    )


def test_a_folder_that_cannot_be_written(hub, reference, cache):
    cache.mkdir()
    (cache / "files").write_text("a file where a folder should be")
    with fetching_for("a-slug"), pytest.raises(DownloadError) as caught:
        fetch(reference)
    assert str(cache / "files") in caught.value.what
    assert "set FLASHDREAMS_CACHE" in caught.value.next


def test_only_what_is_still_to_come_needs_room(hub, reference):
    hub.breaks = [1000, 0]
    with pytest.raises(DownloadError):
        fetch(reference)
    (room,) = rooms([needs_of(reference)])
    assert room.wanted == len(CONTENT) - 1000


def test_ctrl_c_keeps_what_came(hub, package, tmp_path):
    """In a process of its own: its source is slow, and the user gives up."""
    hub.plain["large.pth"] = large = CONTENT * 3
    reference = package({"w": {"url": f"{hub.url}/plain", "files": {"large.pth": {}}}}) + ":w"
    code = f"{HEEDS_CTRL_C}; from flashdreams.io.hub import fetch; fetch({reference!r})"
    hub.stall = 2 * PIECE
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        stderr=subprocess.PIPE,
    ) as process:
        hub.stalled.wait(30)
        while process.poll() is None:  # the hub has sent; the other end may not have written yet
            parts = list(tmp_path.rglob("large.pth.part"))
            if parts and parts[0].stat().st_size >= PIECE:
                break
            time.sleep(0.01)
        (part,) = parts
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
    hub.stall = None
    hub.go_on.set()
    begun = part.stat().st_size
    assert fetch(reference).read_bytes() == large
    assert ranges(hub)[-1] == f"bytes={begun}-"
    assert begun >= PIECE
