from pathlib import Path

import pytest

from flashdreams.errors import FieldValueError, OutputError
from flashdreams.io.outputs import check_output, free_output, is_taken, record_path, write_text
from flashdreams.io.video import open_video


def refused(path, **options):
    with pytest.raises(OutputError) as caught:
        check_output(path, **options)
    return caught.value


@pytest.mark.parametrize("name", ["v.mp4", "V.MP4", "v.gif", "v.npz", "frames"])
def test_a_new_output_is_accepted_and_nothing_made(tmp_path, name):
    check_output(tmp_path / "new/folder" / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["v.mp4", "v.gif", "frames"])
def test_the_folder_is_made_by_the_writer(tmp_path, name):
    with open_video(tmp_path / "new/folder" / name, fps=16, height=8, width=8):
        assert (tmp_path / "new/folder" / name).exists()


@pytest.mark.parametrize("fps", [0.0001, 0, -1, 1001, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["v.mp4", "v.gif", "frames"])
def test_a_rate_that_no_file_can_say(tmp_path, name, fps):
    with pytest.raises(FieldValueError, match=rf"^fps is {fps:g}\.\nA video shows 0.1 to 1000 pixel frames"):
        open_video(tmp_path / name, fps=fps, height=8, width=8)
    assert list(tmp_path.iterdir()) == []


def test_unknown_suffix(tmp_path):
    error = refused(tmp_path / "v.avi")
    assert error.what == f"The output is {tmp_path}/v.avi, with the suffix .avi."
    assert error.right == (
        "An output is .mp4, .gif, .npz (latents), or a folder of PNG frames where there is no suffix."
    )
    assert error.next == "Name it v.mp4, for instance."


@pytest.mark.parametrize("name", ["v.mp4", "v.npz"])
def test_an_existing_file_is_not_replaced_unasked(tmp_path, name):
    (tmp_path / name).write_text("mine")
    error = refused(tmp_path / name)
    assert error.what == f"{tmp_path / name} exists already."
    assert error.right == "An output is never replaced unasked."
    assert error.next == "Choose another name with --output, or set --overwrite."
    check_output(tmp_path / name, overwrite=True)
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_with_something_in_it_is_not_written_to_unasked(tmp_path):
    (tmp_path / "frames").mkdir()
    check_output(tmp_path / "frames")
    (tmp_path / "frames/other.png").touch()
    assert "exists already" in refused(tmp_path / "frames").what


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    (tmp_path / "v.mp4").mkdir()
    (tmp_path / "frames").touch()
    assert refused(tmp_path / "v.mp4", overwrite=True).what == f"{tmp_path / 'v.mp4'} is a folder."
    error = refused(tmp_path / "frames", overwrite=True)
    assert (error.what, error.next) == (
        f"{tmp_path / 'frames'} is a file.",
        "Name it frames.mp4, for instance.",
    )


@pytest.mark.parametrize("folder", ["/proc/flashdreams", "{tmp}/file/below", "{tmp}/" + 300 * "x"])
def test_a_folder_that_cannot_be_written(tmp_path, folder):
    (tmp_path / "file").touch()
    path = Path(folder.format(tmp=tmp_path)) / "v.mp4"
    error = refused(path)
    assert error.what.startswith(f"{path} cannot be written: ")
    assert error.what.endswith(("No such file or directory.", "Not a directory.", "File name too long."))
    assert error.right == "An output goes to a folder that is there or can be made, where you may write."
    assert error.next == "Choose another place with --output or --output-dir."


def test_frames_do_not_go_into_a_latents_file(tmp_path):
    with pytest.raises(OutputError, match="which holds latents"):
        open_video(tmp_path / "v.npz", fps=16, height=8, width=8)


def test_free_names_count_up_past_outputs_and_records(tmp_path):
    assert free_output(tmp_path, "a-seed0", ".mp4") == tmp_path / "a-seed0.mp4"
    (tmp_path / "a-seed0.mp4").touch()
    (tmp_path / "a-seed0-2.mp4.run.yaml").touch()
    assert free_output(tmp_path, "a-seed0", ".mp4") == tmp_path / "a-seed0-3.mp4"
    assert free_output(tmp_path / "not there yet", "a", "") == tmp_path / "not there yet/a"


def test_records_stand_beside_their_outputs():
    assert record_path(Path("out/drive.mp4")) == Path("out/drive.mp4.run.yaml")
    assert record_path(Path("out/drive.gif")) == Path("out/drive.gif.run.yaml")
    assert record_path(Path("out/frames")) == Path("out/frames.run.yaml")


def test_text_is_replaced_at_one_stroke_or_not_at_all(tmp_path):
    write_text(tmp_path / "a.yaml", "first")
    write_text(tmp_path / "a.yaml", "secönd")
    assert (tmp_path / "a.yaml").read_text(encoding="utf-8") == "secönd"
    with pytest.raises(OSError, match="No such file"):
        write_text(tmp_path / "absent/a.yaml", "third")
    (tmp_path / ".b.yaml.unfinished").symlink_to("/dev/full")
    (tmp_path / "b.yaml").write_text("first")
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "b.yaml", "second")
    assert (tmp_path / "b.yaml").read_text() == "first"
    assert is_taken(tmp_path / "b.yaml")
    assert not is_taken(tmp_path / ".b.yaml.unfinished")
