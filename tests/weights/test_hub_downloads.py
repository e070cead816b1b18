import hashlib
import json
import logging
import socket
import threading
from pathlib import Path

import pytest
from huggingface_hub import constants

from flashdreams.errors import DownloadError, LockFileError, WeightsFileError, WeightsHashError
from flashdreams.io.fetching import fetching_for, is_offline, offline
from flashdreams.io.hub import check_here, fetch, obtain, resolve_weights
from flashdreams.io.user_lock import user_lock

COMMIT = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
WEIGHTS = bytes(range(256)) * 400


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def entry(files, revision=COMMIT, repo="owner/model"):
    return {"repo": repo, "revision": revision, "licence": "apache-2.0", "files": files}


def facts(content):
    return {"sha256": sha256(content), "bytes": len(content)}


@pytest.fixture
def pinned(hub, package):
    """A reference whose one file is pinned wholly, and served."""
    hub.add("owner/model", {"sub/w.bin": WEIGHTS}, large={"sub/w.bin"})
    return package({"w": entry({"sub/w.bin": facts(WEIGHTS)})}) + ":w"


@pytest.fixture
def unknown(hub, package):
    """A reference of which nothing is known but the names."""
    hub.add("owner/model", {"w.bin": WEIGHTS, "config.json": b"{}"}, large={"w.bin"})
    return package({"w": entry({"w.bin": {}, "config.json": {}}, revision=None)}) + ":w"


class TestPinned:
    def test_it_is_fetched_once_and_checked(self, hub, pinned):
        path = fetch(pinned)
        assert path.read_bytes() == WEIGHTS
        assert (path.name, path.parent.name, path.parents[1].name) == ("w.bin", "sub", COMMIT)
        before = list(hub.requests)
        assert resolve_weights(pinned) == path
        assert hub.requests == before
        assert not user_lock().exists()

    def test_the_hash_that_the_hub_tells_is_compared_before_anything_is_fetched(self, hub, pinned):
        hub.repos["owner/model"].files["sub/w.bin"] = tampered = b"x" + WEIGHTS[1:]
        with pytest.raises(WeightsHashError) as caught:
            fetch(pinned)
        assert (caught.value.expected, caught.value.actual) == (sha256(WEIGHTS), sha256(tampered))
        assert "owner/model@c0ffee00c0ff has sub/w.bin with the SHA-256" in caught.value.what
        assert hub.downloads() == []

    def test_the_size_too(self, hub, pinned):
        hub.repos["owner/model"].files["sub/w.bin"] = WEIGHTS[:-1]
        hub.repos["owner/model"].large.clear()
        with pytest.raises(DownloadError, match=f"has sub/w.bin with {len(WEIGHTS) - 1} bytes"):
            fetch(pinned)
        assert hub.downloads() == []

    def test_what_was_fetched_and_differs_does_not_stay(self, hub, pinned):
        hub.repos["owner/model"].files["sub/w.bin"] = b"x" + WEIGHTS[1:]
        hub.repos["owner/model"].large.clear()  # so that the hub tells no hash
        with fetching_for("a-slug"), pytest.raises(WeightsHashError) as caught:
            fetch(pinned)
        assert caught.value.next == "It was deleted again; try: flashdreams download a-slug"
        hub.repos["owner/model"].files["sub/w.bin"] = WEIGHTS
        assert fetch(pinned).read_bytes() == WEIGHTS

    def test_a_file_that_changes_on_the_disk_is_noticed(self, pinned):
        path = fetch(pinned)
        path.resolve().write_bytes(b"x" + WEIGHTS[1:])
        with fetching_for("a-slug"), pytest.raises(WeightsHashError) as caught:
            fetch(pinned)
        assert caught.value.what == f"{path} has the SHA-256 {caught.value.actual[:12]}..."
        assert caught.value.next == "Delete it, then run: flashdreams download a-slug"

    def test_a_file_that_is_cut_off_on_the_disk_is_noticed(self, pinned):
        path = fetch(pinned)
        path.resolve().write_bytes(WEIGHTS[:100])
        with pytest.raises(WeightsFileError) as caught:
            fetch(pinned)
        assert (caught.value.what, caught.value.right) == (
            f"{path} has 100 bytes.",
            f"It should have {len(WEIGHTS)}.",
        )


class TestTrustOnFirstUse:
    def test_what_is_not_known_is_recorded_said_and_enforced(self, hub, unknown, caplog):
        with caplog.at_level(logging.WARNING):
            folder = fetch(unknown)
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "w.bin"]
        said = "\n".join(record.getMessage() for record in caplog.records)
        assert sha256(WEIGHTS) in said
        assert sha256(b"{}") in said
        assert str(user_lock()) in said
        held = json.loads(user_lock().read_text())[unknown]
        assert held["revision"] == COMMIT
        assert held["files"] == {"w.bin": facts(WEIGHTS), "config.json": facts(b"{}")}
        folder.joinpath("config.json").resolve().write_bytes(b"[]")
        with pytest.raises(WeightsHashError):
            fetch(unknown)

    def test_the_commit_of_the_first_time_stays(self, hub, unknown):
        assert obtain(unknown).path.name == COMMIT
        hub.add("owner/model", {"w.bin": b"newer", "config.json": b"{}"}, commit="d" * 40)
        obtained = obtain(unknown)
        assert (obtained.path.name, obtained.trusted) == (COMMIT, ())

    def test_a_change_of_what_was_trusted_is_refused(self, hub, unknown, monkeypatch, tmp_path):
        fetch(unknown)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "elsewhere"))
        hub.repos["owner/model"].files["w.bin"] = WEIGHTS[::-1]
        with pytest.raises(WeightsHashError, match="nothing was fetched"):
            fetch(unknown)

    def test_what_the_package_pins_later_counts_more(self, hub, package, tmp_path):
        hub.add("owner/model", {"w.bin": WEIGHTS}, large={"w.bin"})
        name = package({"w": entry({"w.bin": {}}, revision=None)})
        fetch(f"{name}:w")
        lock = tmp_path / "site" / name / "weights.lock.json"
        lock.write_text(json.dumps({"w": entry({"w.bin": {"sha256": "ab" * 32}}, revision=None)}))
        with pytest.raises(WeightsHashError) as caught:
            fetch(f"{name}:w")
        assert caught.value.expected == "ab" * 32

    def test_another_repository_is_trusted_anew(self, hub, package, tmp_path):
        hub.add("owner/model", {"w.bin": WEIGHTS})
        hub.add("owner/other", {"w.bin": b"other"}, commit="e" * 40)
        name = package({"w": entry({"w.bin": {}}, revision=None)})
        fetch(f"{name}:w")
        lock = tmp_path / "site" / name / "weights.lock.json"
        lock.write_text(json.dumps({"w": entry({"w.bin": {}}, revision=None, repo="owner/other")}))
        assert fetch(f"{name}:w").read_bytes() == b"other"

    def test_a_damaged_record_is_not_passed_over(self, unknown):
        fetch(unknown)
        user_lock().write_text("{")
        with pytest.raises(LockFileError, match="cannot be read as a lock file"):
            fetch(unknown)


class TestShards:
    INDEX = json.dumps({"weight_map": {"a": "m-00001-of-00002.bin", "b": "m-00002-of-00002.bin"}}).encode()

    def test_those_that_an_index_names_come_with_it(self, hub, package):
        shards = {"m-00001-of-00002.bin": b"one", "m-00002-of-00002.bin": b"two", "other.bin": b"no"}
        hub.add("owner/model", {"m.bin.index.json": self.INDEX, **shards})
        reference = package({"w": entry({"m.bin.index.json": {}}, revision=None)}) + ":w"
        folder = fetch(reference)
        assert sorted(path.name for path in folder.iterdir()) == [
            *sorted(set(shards) - {"other.bin"}),
            "m.bin.index.json",
        ]
        assert set(json.loads(user_lock().read_text())[reference]["files"]) == {
            "m.bin.index.json",
            *set(shards) - {"other.bin"},
        }
        (folder / "m-00002-of-00002.bin").resolve().write_bytes(b"owt")
        with offline(), pytest.raises(WeightsHashError):
            fetch(reference)

    def test_those_with_names_of_their_own_too(self, hub, package):
        names = ["first.bin", "../second.bin", "..", "C:x.bin"]
        index = json.dumps({"weight_map": dict(zip("abcd", names, strict=True))}).encode()
        hub.add("owner/model", {"m.bin.index.json": index, "first.bin": b"one"})
        folder = fetch(package({"w": entry({"m.bin.index.json": {}}, revision=None)}) + ":w")
        assert sorted(path.name for path in folder.iterdir()) == ["first.bin", "m.bin.index.json"]


class TestOffline:
    def test_nothing_is_asked_and_the_remedy_is_named(self, hub, pinned):
        with offline(), fetching_for("a-slug"), pytest.raises(DownloadError) as caught:
            fetch(pinned)
        assert caught.value.what == (
            f"sub/w.bin of owner/model@c0ffee00c0ff ({pinned}) is not on this machine."
        )
        assert caught.value.right == "Offline, nothing is fetched."
        assert caught.value.next == "Connect to the network, then: flashdreams download a-slug"
        assert hub.requests == []

    def test_what_is_here_is_used(self, hub, unknown):
        path = fetch(unknown)
        before = list(hub.requests)
        with offline():
            check_here([unknown])
            assert fetch(unknown) == path
        assert hub.requests == before

    def test_what_another_program_fetched_is_trusted_as_it_is(self, hub, unknown):
        from huggingface_hub import hf_hub_download

        for name in ("w.bin", "config.json"):
            hf_hub_download("owner/model", name)
        with offline():
            obtained = obtain(unknown)
        assert {file.path for file in obtained.trusted} == {"w.bin", "config.json"}
        assert json.loads(user_lock().read_text())[unknown]["revision"] == COMMIT

    def test_the_library_s_own_variable_counts(self, hub, pinned, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert is_offline()
        with pytest.raises(DownloadError, match="Offline, nothing is fetched"):
            check_here([pinned])

    def test_it_ends_with_the_block_and_stays_in_its_thread(self):
        with offline():
            assert is_offline()
            seen = []
            thread = threading.Thread(target=lambda: seen.append(is_offline()))
            thread.start()
            thread.join()
            with offline(False):
                assert is_offline()
        assert (is_offline(), seen) == (False, [False])


class TestRefusals:
    @pytest.mark.parametrize(
        ("denies", "says"),
        [
            ("GatedRepo", "its owner asks who you are"),
            ("RepoNotFound", "There is no repository owner/model, or it is private"),
            ("RevisionNotFound", f"owner/model has no revision {COMMIT}"),
        ],
    )
    def test_the_hub_denies_it(self, hub, pinned, denies, says):
        hub.repos["owner/model"].denies = denies
        with fetching_for("a-slug"), pytest.raises(DownloadError) as caught:
            fetch(pinned)
        assert says in str(caught.value)
        assert "owner/model@c0ffee00c0ff" in caught.value.what
        assert caught.value.next.endswith("flashdreams download a-slug")

    def test_it_lacks_the_file(self, hub, pinned):
        hub.repos["owner/model"].files = {"other.bin": b""}
        with pytest.raises(DownloadError) as caught:
            fetch(pinned)
        assert caught.value.what == "sub/w.bin of owner/model@c0ffee00c0ff cannot be fetched."
        assert caught.value.right == "owner/model has no such file."

    def test_nobody_answers(self, pinned, monkeypatch):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
            with fetching_for("a-slug"), pytest.raises(DownloadError) as caught:
                fetch(pinned)
        assert "The files of owner/model@c0ffee00c0ff cannot be fetched: ConnectError" in caught.value.what
        assert caught.value.next.endswith("go on: flashdreams download a-slug")

    def test_the_folder_of_the_library_cannot_be_written(self, pinned, monkeypatch, tmp_path):
        (tmp_path / "file").touch()
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
        with fetching_for("a-slug"), pytest.raises(DownloadError) as caught:
            fetch(pinned)
        assert str(tmp_path / "file" / "hub") in caught.value.what
        assert "HF_HOME" in caught.value.next

    def test_there_is_no_room(self, hub, unknown):
        hub.claims["w.bin"] = 10**18
        with pytest.raises(DownloadError) as caught:
            fetch(unknown)
        assert caught.value.what.startswith("1000000000.00 GB are to be fetched to ")
        assert "set HF_HOME to a folder on a larger disk" in caught.value.next
        assert hub.downloads() == []


def test_local_files_are_taken_as_they_are(tmp_path):
    (tmp_path / "w.safetensors").touch()
    assert resolve_weights(str(tmp_path / "w.safetensors")) == tmp_path / "w.safetensors"
    assert resolve_weights(str(tmp_path)) == tmp_path
    with pytest.raises(WeightsFileError, match="There is no weights file or folder nowhere/w.pth"):
        resolve_weights("nowhere/w.pth")


def test_a_file_named_like_a_reference_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("some_package:vae").touch()
    assert resolve_weights("some_package:vae") == Path("some_package:vae")
