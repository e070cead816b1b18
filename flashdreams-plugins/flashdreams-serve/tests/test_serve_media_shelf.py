"""Saved videos as plain files: names, quota, what clients may ask for."""

import errno
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashdreams_serve.media.errors import SavingError, disk_failed
from flashdreams_serve.media.shelf import MOST_VIDEOS, Shelf


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "saved", 1000)


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_videos_are_numbered_in_their_session(shelf):
    names = [
        shelf.put("a", "last-30s", b"one"),
        shelf.put("b", "end", b"two"),
        shelf.put("a", "end", b"three"),
    ]
    assert names == ["0001-last-30s.mp4", "0001-end.mp4", "0002-end.mp4"]
    assert [(video.name, video.bytes) for video in shelf.list("a")] == [(names[0], 3), (names[2], 5)]
    assert shelf.find("a", names[2]).read_bytes() == b"three"
    assert shelf.find("b", names[2]) is None
    assert shelf.list("c") == []


def test_the_folder_does_not_tell_the_session(shelf, tmp_path):
    secret = "3q2-7wAnsMtZ0r1TqIhGkA"
    shelf.put(secret, "end", b"video")
    [path] = files_below(tmp_path)
    assert secret not in str(path)
    assert path.parent == shelf.place(secret)


def test_halves_of_files_that_nobody_writes_any_more_are_removed(shelf, tmp_path):
    path = shelf.place("a") / shelf.put("a", "end", b"video")
    old, new = (path.with_name(f"000{number}-end.mp4.part") for number in (2, 3))
    for half in (old, new):
        half.write_bytes(b"half")
    for file in (path, old):
        os.utime(file, (0, 0))
    again = Shelf(tmp_path / "saved", 1000)
    assert files_below(tmp_path) == [path, new]
    assert again.used_bytes == 9


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../secret",
        "/etc/passwd",
        "0001-end.mp4/",
        "./0001-end.mp4",
        "0001-END.mp4",
        "0001-end.mp4.part",
        "\0",
        "0001-end.json",
    ],
)
def test_only_names_made_here_are_found(shelf, tmp_path, name):
    (tmp_path / "secret").write_text("secret")
    shelf.put("a", "end", b"video", lambda: {"seed": 1})
    assert (shelf.place("a") / "0001-end.json").is_file()
    assert shelf.find("a", name) is None


@settings(max_examples=50)
@given(session=st.text(max_size=40), name=st.text(max_size=40))
def test_no_question_leads_out_of_the_folder(tmp_path_factory, session, name):
    shelf = Shelf(tmp_path_factory.getbasetemp() / "asked", 1000)
    assert shelf.find(session, name) is None
    assert shelf.place(session).parent == tmp_path_factory.getbasetemp() / "asked"


def test_what_others_put_there_is_not_given_out(shelf, tmp_path):
    shelf.put("a", "end", b"video")
    (tmp_path / "secret").write_text("secret")
    os.symlink(tmp_path / "secret", shelf.place("a") / "0002-end.mp4")
    (shelf.place("a") / "0003-end.mp4").mkdir()
    (shelf.place("a") / "notes.txt").write_text("mine")
    assert [video.name for video in shelf.list("a")] == ["0001-end.mp4"]
    assert shelf.find("a", "0002-end.mp4") is None
    assert shelf.find("a", "notes.txt") is None


def test_the_quota_is_kept_over_all_sessions_and_restarts(shelf, tmp_path):
    shelf.put("a", "end", bytes(600))
    again = Shelf(tmp_path / "saved", 1000)
    assert again.used_bytes == 600
    assert [video.bytes for video in again.list("a")] == [600]
    with pytest.raises(SavingError, match="600 bytes") as caught:
        again.put("b", "end", bytes(401))
    assert caught.value.code == "saved_full"
    assert str(tmp_path) not in str(caught.value)
    assert again.put("b", "end", bytes(400)) == "0001-end.mp4"
    assert len(files_below(tmp_path)) == 2


def test_room_that_people_make_counts(shelf):
    name = shelf.put("a", "end", bytes(900))
    shelf.find("a", name).unlink()
    assert shelf.put("a", "end", bytes(900)) == "0001-end.mp4"
    assert shelf.used_bytes == 900


def test_a_session_saves_only_so_many(tmp_path):
    shelf = Shelf(tmp_path, 1 << 20)
    shelf.put("a", "end", b"video")
    shelf.find("a", "0001-end.mp4").rename(shelf.place("a") / f"{MOST_VIDEOS:04}-end.mp4")
    with pytest.raises(SavingError) as caught:
        shelf.put("a", "end", b"video")
    assert caught.value.code == "saved_full"
    assert shelf.put("b", "end", b"video") == "0001-end.mp4"


def test_each_video_has_its_control_log_beside_it(shelf, tmp_path):
    shelf.put("a", "end", b"video", lambda: {"prompt": "ein Weg im Grünen"})
    shelf.put("a", "end", b"video", lambda: {"seed": 2})
    assert (shelf.place("a") / "0001-end.json").read_text("utf-8") == '{"prompt":"ein Weg im Grünen"}'
    assert (shelf.place("a") / "0002-end.json").read_text("utf-8") == '{"seed":2}'
    assert [video.name for video in shelf.list("a")] == ["0001-end.mp4", "0002-end.mp4"]
    assert shelf.used_bytes == sum(path.stat().st_size for path in files_below(tmp_path))


def test_a_video_is_saved_although_its_log_finds_no_room(shelf, tmp_path, caplog):
    name = shelf.put("a", "end", bytes(900), lambda: {"prompt": "x" * 200})
    assert files_below(tmp_path) == [shelf.find("a", name)]
    assert shelf.used_bytes == 900
    assert "0001-end.json was not saved" in caplog.text


@pytest.mark.parametrize("broken", [lambda: {"prompt": "\ud800"}, lambda: 1 / 0])
def test_a_video_is_saved_although_its_log_cannot_be_written(shelf, tmp_path, caplog, broken):
    name = shelf.put("a", "end", b"video", broken)
    assert files_below(tmp_path) == [shelf.find("a", name)]
    assert "0001-end.json could not be written" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_refusal(tmp_path):
    (tmp_path / "saved").write_text("a file where the folder should be")
    shelf = Shelf(tmp_path / "saved", 1000)
    with pytest.raises(SavingError) as caught:
        shelf.put("a", "end", b"video")
    assert caught.value.code == "not_saved"
    assert str(tmp_path) not in str(caught.value)


def test_a_full_disk_leaves_nothing_behind(limited_disk, tmp_path):
    shelf = Shelf(tmp_path / "saved", 1 << 30)
    shelf.put("a", "end", b"video")
    with limited_disk(4096), pytest.raises(SavingError) as caught:
        shelf.put("a", "end", bytes(100_000))
    assert caught.value.code in ("disk_full", "not_saved")
    assert [path.name for path in files_below(tmp_path)] == ["0001-end.mp4"]
    assert shelf.used_bytes == 5
    assert shelf.put("a", "end", bytes(100_000)) == "0002-end.mp4"


@pytest.fixture
def limited_disk():
    """Files of this process may grow to so many bytes only: writing more fails as on a full disk."""
    import contextlib
    import resource
    import signal

    @contextlib.contextmanager
    def limit(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)

    return limit


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_so(number):
    assert disk_failed(OSError(number, "secret/path")).code == "disk_full"
    assert "secret" not in str(disk_failed(OSError(number, "secret/path")))


def test_many_threads_get_names_of_their_own(tmp_path):
    shelf, names = Shelf(tmp_path, 1 << 20), []
    threads = [threading.Thread(target=lambda: names.append(shelf.put("a", "end", b"x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == [f"{number:04}-end.mp4" for number in range(1, 9)]
    assert shelf.used_bytes == 8
