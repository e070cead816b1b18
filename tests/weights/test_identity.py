import hashlib
import json
import os

import pytest

from flashdreams.io.checksum import REMEMBERED, identity


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def file(tmp_path, cache):
    (tmp_path / "w.bin").write_bytes(b"weights")
    return tmp_path / "w.bin"


def test_that_of_a_file_is_its_sha256(file):
    assert identity(file) == sha256(b"weights") == identity(str(file))


def test_it_is_remembered(file, cache):
    identity(file)
    memory = cache / REMEMBERED
    held = json.loads(memory.read_text())
    held[str(file)]["sha256"] = "remembered"
    memory.write_text(json.dumps(held))
    assert identity(file) == "remembered"


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_change_is_noticed(file, keep_times):
    identity(file)
    times = file.stat()
    file.write_bytes(b"stheigw")
    if keep_times:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert identity(file) == sha256(b"stheigw")


def test_links_share_what_they_lead_to(file, tmp_path, cache):
    identity(file)
    (tmp_path / "link").symlink_to(file)
    identity(tmp_path / "link")
    assert list(json.loads((cache / REMEMBERED).read_text())) == [str(file)]


def test_a_damaged_memory_costs_time_alone(file, cache):
    identity(file)
    for held in ([], {str(file): 7}, {str(file): {"state": 7}}, {str(file): {"sha256": "0"}}):
        (cache / REMEMBERED).write_text(json.dumps(held)[:-1] if held == [] else json.dumps(held))
        assert identity(file) == sha256(b"weights")


def test_without_a_place_to_remember(file, tmp_path, monkeypatch):
    (tmp_path / "no folder").touch()
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path / "no folder" / "cache"))
    assert identity(file) == sha256(b"weights")


def test_that_of_a_folder_is_made_of_names_and_contents(tmp_path, cache):
    def folder(name, files):
        for path, content in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(content)
        return identity(tmp_path / name)

    first = folder("first", {"a": b"1", "sub/b": b"2"})
    assert folder("same", {"sub/b": b"2", "a": b"1"}) == first
    assert folder("renamed", {"a": b"1", "sub/c": b"2"}) != first
    assert folder("changed", {"a": b"1", "sub/b": b"3"}) != first


def test_no_file(tmp_path, cache):
    with pytest.raises(FileNotFoundError):
        identity(tmp_path / "absent")


def test_the_cache_folder(monkeypatch, tmp_path):
    from flashdreams.environment import cache_folder

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FLASHDREAMS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "flashdreams"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(cache_folder()) == "/xdg/flashdreams"
    monkeypatch.setenv("FLASHDREAMS_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"
