import numpy as np
import pytest

from flashdreams.errors import ControlError
from flashdreams_pocket.controls import as_record, parse_script, read_controls


def test_a_script_reads_as_it_is_written():
    controls = parse_script("gas*2, gas+left*1, brake=0.8+right=0.25*3, straight")
    expected = [[0, 0.3, 0], [0, 0.3, 0], [-0.5, 0.3, 0], *[[0.25, 0, 0.8]] * 3, [0, 0, 0]]
    assert controls.dtype == np.float32
    np.testing.assert_allclose(controls, expected, atol=1e-6)


def test_files_give_the_same_controls_as_arrays(tmp_path):
    controls = np.array([[0, 0.5, 0], [-0.25, 0, 1]], dtype=np.float32)
    np.savez(tmp_path / "drive.npz", controls=controls)
    (tmp_path / "drive.csv").write_text("steer,gas,brake\n0,0.5,0\n-0.25,0,1\n")
    for name in ("drive.npz", "drive.csv"):
        np.testing.assert_array_equal(read_controls(str(tmp_path / name)), controls)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("gsa*20", r"'gsa' .* is no control(.|\n)*Did you mean 'gas'\?"),
        ("gas*0", r"lasts '0' pixel frames"),
        ("gas*many", r"lasts 'many' pixel frames"),
        ("gas*", r"lasts '' pixel frames"),
        ("gas*²", r"lasts '²' pixel frames"),
        ("gas*999999999999", r"lasts '999999999999' pixel frames(.|\n)*1 to 1,000,000"),
        ("gas*600000, brake*600000", r"lasts 1,200,000 pixel frames(.|\n)*at most 1,000,000"),
        ("", "script is empty"),
        ("left=3*5", r"steer -3 at pixel frame 0(.|\n)*within \[-1, 1\]"),
        ("gas=1.2.3", "is no number"),
    ],
)
def test_a_script_that_means_nothing_is_refused(script, says):
    with pytest.raises(ControlError, match=says):
        read_controls(script)


def test_files_that_cannot_steer_are_refused(tmp_path):
    def refused(name, says):
        with pytest.raises(ControlError, match=says):
            read_controls(str(tmp_path / name))

    np.savez(tmp_path / "wide.npz", controls=np.zeros((5, 2)))
    np.savez(tmp_path / "other.npz", actions=np.zeros((5, 3)))
    np.savez(tmp_path / "nan.npz", controls=np.full((5, 3), np.nan))
    (tmp_path / "broken.npz").write_bytes(b"no zip at all")
    np.savez_compressed(tmp_path / "cut.npz", controls=np.random.default_rng(0).random((99, 3)))
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:99] + bytes(200) + whole[299:])
    (tmp_path / "zip.npz").write_bytes(b"PK\3\4" + bytes(60))
    np.save(tmp_path / "array.npy", np.zeros((5, 3)))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    (tmp_path / "two.csv").write_text("steer,gas\n0,1\n")
    (tmp_path / "words.csv").write_text("steer,gas,brake\n0,much,0\n")
    (tmp_path / "ragged.csv").write_text("steer,gas,brake\n0,1,0\n0,1\n")
    (tmp_path / "bare.csv").write_text("steer,gas,brake\n")
    refused("wide.npz", r"the shape \[5, 2\](.|\n)*\[T, 3\]")
    refused("other.npz", "holds actions")
    refused("nan.npz", "steer nan at pixel frame 0")
    refused("broken.npz", "cannot be read")
    refused("cut.npz", "cannot be read")
    refused("zip.npz", "cannot be read")
    refused("array.npz", "cannot be read")
    refused("two.csv", "header steer,gas,brake")
    refused("words.csv", "not three numbers")
    refused("ragged.csv", "not three numbers")
    refused("bare.csv", "the shape")
    refused("absent.csv", "cannot be read")


def test_the_record_is_run_length_coded():
    assert as_record(parse_script("brake*3, straight*2")) == [[3, 0.0, 0.0, 0.5], [2, 0.0, 0.0, 0.0]]
