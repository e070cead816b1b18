import json
import os
import time
import zipfile

import pytest

from flashdreams.io.artefacts import ArtefactStore

KEYS = ("a" * 32, "b" * 32)
FACTS = {"for": "toy", "region": "ToyBlock", "device": "cpu", "versions": {"torch": "2.13"}}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The cache of this machine, with two artefacts."""
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path / "cache"))
    store = ArtefactStore()
    for key in KEYS:
        with store.making(key, FACTS) as folder:
            (folder / "code.so").write_bytes(key.encode() * 100)
    return store


def told(cli, *argv):
    return json.loads(cli("cache", *argv, "--json").out)


def test_list_shows_what_is_kept(cli, store):
    out = cli("cache").out
    assert out == cli("cache", "list").out
    header, *rows, last = out.splitlines()
    assert header.split() == ["KEY", "SIZE", "AGE", "DEVICE", "TORCH", "FOR"]
    assert [row.split()[0] for row in rows] == ["a" * 12, "b" * 12]
    assert all(row.endswith("cpu     2.13   ToyBlock of toy") for row in rows)
    assert last.startswith("2 artefacts, ")
    assert {entry["key"] for entry in told(cli, "list")["artefacts"]} == {*KEYS}


def test_an_empty_cache_is_listed_and_cleared_without_fuss(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path))
    assert cli("cache").out == f"0 artefacts, 0 bytes, in {tmp_path / 'compile'}.\n"
    assert cli("cache", "clear").code == 0


def test_what_is_exported_and_cleared_is_imported_again(cli, store, tmp_path):
    file = tmp_path / "code.zip"
    assert len(told(cli, "export", str(file))["artefacts"]) == 2
    assert len(told(cli, "clear")["artefacts"]) == 2
    assert store.entries() == []
    assert len(told(cli, "import", str(file))["artefacts"]) == 2
    assert [store.find(key).joinpath("code.so").read_bytes() for key in KEYS] == [
        key.encode() * 100 for key in KEYS
    ]
    assert store.entries()[0].facts["region"] == "ToyBlock"
    again = told(cli, "import", str(file))
    assert (again["artefacts"], again["already_here"]) == ([], [*KEYS])
    assert cli("cache", "import", str(file)).out.endswith("\n2 artefacts of the file were here already.\n")


@pytest.mark.parametrize(
    ("seconds", "age"), [(5, "< 1 min"), (90, "1 min"), (7500, "2 h"), (98_000, "27 h"), (200_000, "2 days")]
)
def test_the_age_of_what_is_kept_is_told(cli, store, seconds, age):
    made = time.time() - seconds - 0.5
    os.utime(store.folder / KEYS[0], (made, made))
    assert f"  {age}  " in cli("cache").out.splitlines()[1]
    assert told(cli)["artefacts"][0]["made"] == pytest.approx(made, abs=1)


def broken_off(store):
    """What Ctrl-C leaves while code is compiled."""
    (store.folder / ".inductor" / "ab").mkdir(parents=True)
    (store.folder / ".inductor" / "ab" / "code.cpp").write_bytes(b"x" * 4000)
    (store.folder / f".{KEYS[0]}.lock").touch()


def test_scratch_of_broken_off_work_is_counted_and_deleted(cli, store):
    broken_off(store)
    assert cli("cache").out.endswith(
        "\n4.00 kB of scratch that compiling left there; `flashdreams cache clear` deletes it too.\n"
    )
    assert told(cli)["scratch"] == 4000
    assert cli("cache", "clear").out.endswith(
        "\n4.00 kB of scratch that compiling left there is deleted too.\n"
    )
    assert not store.folder.exists()
    assert len(cli("cache").out.splitlines()) == 1


def test_what_is_being_compiled_now_keeps_its_scratch(cli, store):
    broken_off(store)
    with store.making("c" * 32, FACTS) as folder:
        (folder / "code.so").write_bytes(b"half")
        out = cli("cache", "clear").out
        assert out.startswith("KEY")
        assert out.endswith(
            "4.00 kB of scratch stayed: something is being compiled right now. Clear again later.\n"
        )
        assert store.entries() == []
    assert [entry.key for entry in store.entries()] == ["c" * 32]
    assert told(cli, "clear")["scratch_in_use"] == 0
    assert not store.folder.exists()


def test_a_damaged_artefact_is_not_there_and_is_made_again(store):
    (store.folder / KEYS[0] / "code.so").write_bytes(b"half")
    assert store.find(KEYS[0]) is None
    with store.making(KEYS[0], FACTS) as folder:
        (folder / "code.so").write_bytes(b"whole")
    assert store.find(KEYS[0]) is not None


def test_what_breaks_off_leaves_nothing(store):
    making = store.making("c" * 32, FACTS)
    folder = making.__enter__()
    (folder / "code.so").write_bytes(b"half")
    error = OSError("the disk is full")
    assert not making.__exit__(OSError, error, None)
    assert store.find("c" * 32) is None
    assert sorted(path.name for path in store.folder.iterdir() if path.is_dir()) == sorted(KEYS)


@pytest.mark.parametrize("name", ["../code.so", "a/../../x", "a/b/c", "/a/b", "a/.hidden", "alone"])
def test_an_archive_that_reaches_elsewhere_is_refused(cli, store, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, "x")
    outcome = cli("cache", "import", str(tmp_path / "bad.zip"))
    assert outcome.code == 2
    assert f"it holds '{name}'" in outcome.err


def test_files_that_are_not_whole_are_refused(cli, store, tmp_path):
    file = tmp_path / "code.zip"
    cli("cache", "export", str(file))
    cli("cache", "clear")
    with zipfile.ZipFile(tmp_path / "half.zip", "w") as half, zipfile.ZipFile(file) as whole:
        for name in whole.namelist():
            half.writestr(name, whole.read(name)[:50] if name.endswith(".so") else whole.read(name))
    assert "is not whole" in cli("cache", "import", str(tmp_path / "half.zip")).err
    assert store.entries() == []
    file.write_bytes(b"no zip")
    assert "cannot be imported" in cli("cache", "import", str(file)).err
    assert "cannot be imported" in cli("cache", "import", str(tmp_path / "absent.zip")).err


def test_a_file_that_cannot_be_written_is_an_error(cli, store, tmp_path):
    outcome = cli("cache", "export", str(tmp_path / "no folder" / "code.zip"))
    assert outcome.code == 2
    assert "cannot be written: No such file or directory." in outcome.err


@pytest.mark.parametrize(
    ("argv", "right"),
    [
        (("lst",), "Did you mean 'list'?"),
        (("export",), "It takes one FILE."),
        (("import", "a", "b"), "It takes one FILE."),
        (("clear", "a"), "It takes nothing more."),
    ],
)
def test_a_wrong_line_is_told_what_would_be_right(cli, store, argv, right):
    outcome = cli("cache", *argv)
    assert outcome.code == 2
    assert outcome.err.splitlines()[1].strip() == right


@pytest.mark.parametrize("name", [".", "/", ".."])
def test_a_folder_is_no_file_to_export_to(cli, store, name):
    outcome = cli("cache", "export", name)
    assert outcome.code == 2
    assert f"error: {name} cannot be written: " in outcome.err


def test_a_file_that_is_damaged_is_told(cli, store, tmp_path):
    file = tmp_path / "code.zip"
    cli("cache", "export", str(file))
    cli("cache", "clear")
    with zipfile.ZipFile(file) as archive:
        begin = archive.getinfo(f"{KEYS[0]}/code.so").header_offset
    damaged = bytearray(file.read_bytes())
    damaged[begin + 30 + 40 : begin + 30 + 60] = b"\xff" * 20
    file.write_bytes(damaged)
    outcome = cli("cache", "import", str(file))
    assert outcome.code == 2
    assert f"{KEYS[0]}/code.so is damaged" in outcome.err


def test_a_store_that_cannot_be_written_is_not_taken_for_a_bad_file(cli, store, tmp_path, monkeypatch):
    file, blocked = tmp_path / "code.zip", tmp_path / "blocked"
    cli("cache", "export", str(file))
    blocked.write_text("")
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(blocked))
    outcome = cli("cache", "import", str(file))
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {blocked / 'compile'} cannot be written: ")


def test_a_store_that_cannot_be_cleared_is_told(cli, store, monkeypatch):
    def rmtree(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("flashdreams.io.artefacts.shutil.rmtree", rmtree)
    outcome = cli("cache", "clear")
    assert outcome.code == 2
    assert "cannot be deleted: Permission denied." in outcome.err


@pytest.mark.parametrize("files", [["code.so"], "code.so", {"code\0.so": ""}, {"..": ""}, 3, None])
def test_facts_that_were_tampered_with_make_no_artefact(cli, store, files):
    (store.folder / KEYS[0] / "facts.json").write_text(
        json.dumps({"files": files, "versions": "2", "bytes": []})
    )
    assert store.find(KEYS[0]) is None
    assert cli("cache").code == 0
