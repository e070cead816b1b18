import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from flashdreams.errors import ControlError, DeviceError, FieldValueError, ImageError, OutputError
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.base import Runner
from flashdreams.io.latents import read_latents
from flashdreams.io.pixels import to_uint8


def run(config, **changes):
    return derive_config(config, progress="off", **changes).setup().run()


def by_hand(toys, blocks=6):
    """The toy's video without a runner: pixels [1, 3, T, H, W] and latents."""
    pipeline = toys.TOY.pipeline.setup()
    pixels, latents = [], []
    with pipeline.initialize_cache(prompts=[""], seed=0) as rollout:
        for index in range(blocks):
            pixels.append(pipeline.generate(index, rollout, input=toys.TOY.steer[index % 3]))
            latents.append(rollout.pending.latents)
            pipeline.finalize(index, rollout)
    return torch.cat(pixels, dim=2), torch.cat(latents, dim=2)


def test_png_frames_are_the_pipeline_s_pixels_enlarged(toys, tmp_path):
    summary = run(toys.TOY, output=tmp_path / "frames")
    frames = np.stack([np.asarray(Image.open(f)) for f in sorted((tmp_path / "frames").glob("*.png"))])
    expected = to_uint8(by_hand(toys)[0])[0]
    assert frames.shape == (12, 32, 32, 3)
    assert (frames[:, ::4, ::4] == expected).all()
    assert (frames[:, 3::4, 3::4] == expected).all()
    assert (summary.chunks, summary.frames, summary.output) == (6, 12, tmp_path / "frames")
    assert len({frame.tobytes() for frame in frames}) == 12


def test_mp4_is_played_at_its_rate(toys, tmp_path, decode):
    summary = run(toys.TOY, output=tmp_path / "v.mp4")
    back = decode(tmp_path / "v.mp4")
    expected = to_uint8(by_hand(toys)[0])[0].repeat(4, 1).repeat(4, 2)
    assert back.shape == expected.shape
    assert np.abs(back.astype(int) - expected).mean() < 12
    assert summary.frames_per_second > 0
    assert summary.real_time_factor == pytest.approx(summary.frames_per_second / 16)
    assert summary.time_to_first_chunk > 0


def test_latents_are_those_of_the_rollout(toys, tmp_path):
    summary = run(toys.TOY, output=tmp_path / "z.npz")
    latents = torch.from_numpy(read_latents(tmp_path / "z.npz"))
    # The runner lays weights out for the CPU, which sums in another order: 1e-7 a product.
    torch.testing.assert_close(latents, by_hand(toys)[1], atol=2e-5, rtol=0)
    assert summary.frames == 12


def test_without_a_decoder_there_are_latents(toys, tmp_path):
    summary = run(toys.LATENTS, output_dir=tmp_path, total_blocks=3)
    assert summary.output == tmp_path / "latents-seed0.npz"
    assert read_latents(summary.output).shape == (1, 4, 6, 4, 4)
    with pytest.raises(OutputError) as caught:
        run(toys.LATENTS, output=tmp_path / "v.mp4")
    assert str(caught.value).splitlines() == [
        f"The output is {tmp_path}/v.mp4, and the pipeline has no decoder.",
        "Without a decoder there are latents, and no frames.",
        "Name it v.npz, or give the pipeline a decoder.",
    ]


def test_a_batch_stands_side_by_side(toys, tmp_path):
    class Pair(Runner):
        def conditions(self):
            return {"batch_size": 2}

    config = derive_config(toys.PLAIN, output=tmp_path / "frames", total_blocks=2)
    Pair(config).run()
    frames = np.stack([np.asarray(Image.open(f)) for f in sorted((tmp_path / "frames").glob("*.png"))])
    assert frames.shape == (4, 8, 16, 3)
    assert (frames[:, :, :8] != frames[:, :, 8:]).any()


def test_default_names_count_up(toys, tmp_path):
    outputs = [run(toys.PLAIN, output_dir=tmp_path / "new", total_blocks=1, seed=7).output for _ in range(3)]
    assert [path.name for path in outputs] == ["plain-seed7.mp4", "plain-seed7-2.mp4", "plain-seed7-3.mp4"]
    assert sorted(path.name for path in (tmp_path / "new").glob("*.yaml")) == [
        "plain-seed7-2.mp4.run.yaml",
        "plain-seed7-3.mp4.run.yaml",
        "plain-seed7.mp4.run.yaml",
    ]


def test_nothing_is_replaced_unasked_and_nothing_built_before(toys, tmp_path):
    run(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=1)
    (tmp_path / "w.mp4.run.yaml").write_text("mine")  # the record of a w.mp4 that has been moved away
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("v.mp4", "w.mp4"):
        runner = derive_config(toys.PLAIN, output=tmp_path / name).setup()
        with pytest.raises(OutputError, match="exists already"):
            runner.run()
        assert "pipeline" not in vars(runner)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    run(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=2, overwrite=True)
    assert yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())["made"]["frames"] == 4


def test_outputs_of_one_stem_have_a_record_each(toys, tmp_path):
    run(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=1)
    before = (tmp_path / "v.mp4.run.yaml").read_text()
    run(toys.PLAIN, output=tmp_path / "v.gif", total_blocks=2, overwrite=True)
    assert (tmp_path / "v.mp4.run.yaml").read_text() == before
    assert yaml.safe_load((tmp_path / "v.gif.run.yaml").read_text())["made"]["frames"] == 4


@pytest.mark.parametrize("name", ["/proc/flashdreams/v.mp4", "v.avi"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_built(toys, name):
    runner = derive_config(toys.PLAIN, output=Path(name)).setup()
    with pytest.raises(OutputError):
        runner.run()
    assert "pipeline" not in vars(runner)


def test_bad_controls_are_refused_before_anything_is_built_and_leave_nothing(toys, tmp_path, capsys):
    runner = derive_config(toys.TOY, steer=None, output=tmp_path / "new/folder/v.mp4").setup()
    with pytest.raises(ControlError):
        runner.run()
    assert "pipeline" not in vars(runner)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_what_a_rollout_begins_with_is_read_before_anything_is_built(toys, tmp_path):
    class Blind(Runner):
        def conditions(self):
            raise ImageError("There is no file a.png.", "It is an image.", "Check its name.")

    runner = Blind(derive_config(toys.PLAIN, output=tmp_path / "new/v.mp4"))
    with pytest.raises(ImageError):
        runner.run()
    assert "pipeline" not in vars(runner)
    assert list(tmp_path.iterdir()) == []


def test_graphs_that_a_device_cannot_capture_are_refused_before_anything_is_built(toys, tmp_path):
    transformer = {"use_cuda_graph": True}
    config = derive_config(
        toys.PLAIN, output=tmp_path / "v.mp4", pipeline={"diffusion_model": {"transformer": transformer}}
    )
    for runner, use in (
        (config.setup(), lambda runner: runner.run()),
        (config.setup(), lambda runner: runner.pipeline),
    ):
        with pytest.raises(DeviceError) as caught:
            use(runner)
        assert str(caught.value).splitlines() == [
            "use_cuda_graph is True, and the device is cpu.",
            "CUDA graphs need an NVIDIA GPU.",
            "Leave --pipeline.diffusion-model.transformer.use-cuda-graph at auto, or set --device cuda.",
        ]
    assert "pipeline" not in vars(runner)


def test_checking_builds_and_writes_nothing(toys, tmp_path):
    runner = derive_config(toys.PLAIN, output=tmp_path / "new/v.mp4").setup()
    runner.check()
    assert "pipeline" not in vars(runner)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DeviceError, match="'cuda:99'"):
        derive_config(toys.PLAIN, output=tmp_path / "v.mp4", device="cuda:99").setup().check()


def test_a_runner_is_set_up_on_a_device(toys):
    runner = derive_config(toys.PLAIN, device="auto").setup(device="cpu")
    assert (runner.config.device, type(runner)) == ("cpu", Runner)
    assert toys.PLAIN.setup(device="cuda").config.device == "cuda"
    assert toys.PLAIN.device == "cpu"


def test_what_fails_before_the_first_chunk_leaves_nothing(toys, tmp_path, capsys):
    with pytest.raises(RuntimeError):
        run(toys.TOY, output=tmp_path / "new/folder/v.mp4", fail_at=0)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_what_fails_on_the_way_leaves_what_was_made(toys, tmp_path, decode, capsys):
    with pytest.raises(RuntimeError, match="the wheel came off"):
        run(toys.TOY, output=tmp_path / "v.mp4", fail_at=4)
    assert len(decode(tmp_path / "v.mp4")) == 8
    assert capsys.readouterr().err == f"Stopped by RuntimeError: 8 frames are in {tmp_path}/v.mp4.\n"
    record = yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())
    assert record["made"] == {
        "output": "v.mp4",
        "finished": False,
        "chunks": 4,
        "frames": 8,
        "paths": [{"path": "eager", "first_chunk": 0, "chunks": 4}],
        "stopped_by": "RuntimeError",
    }


def test_the_slot_is_given_back_however_it_ends(toys, tmp_path):
    runner = derive_config(toys.TOY, output=tmp_path / "v.mp4", fail_at=2, progress="off").setup()
    with pytest.raises(RuntimeError):
        runner.run()
    assert runner.pipeline.slots.lent == 0


def test_observers_of_the_plugins_are_attached(toys):
    from flashdreams.plugins.registry import installed_registry

    assert toys.PLAIN.setup().pipeline.observers is installed_registry().observers()


def test_frames_are_not_kept(toys, tmp_path):
    class Still(Runner):
        """Writes large frames, so that keeping them would be seen."""

        def frames(self, pixels):
            return np.zeros((2, 256, 256, 3), np.uint8)

    config = derive_config(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=300)
    peaks = {}

    class Watched(Still):
        def control(self, index, last_chunk):
            if index in (100, 299):
                peaks[index] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    Watched(config).run()
    tracemalloc.stop()
    assert peaks[299] - peaks[100] < 2**20  # 200 chunks of frames are 75 MiB


def test_threads_are_set_for_the_run_and_recorded(toys, tmp_path):
    seen = []

    class Counting(Runner):
        def control(self, index, last_chunk):
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    Counting(derive_config(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=1, threads=before + 1)).run()
    assert (seen, torch.get_num_threads()) == ([before + 1], before)
    record = yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())
    assert record["made_from"]["threads"] == record["config"]["threads"] == before + 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("scale", 0, "scale is 0.\nscale is a whole number, 1 or more.\nSet --scale to 1, for instance."),
        (
            "threads",
            0,
            "threads is 0.\nthreads is a whole number, 1 or more.\nSet --threads to 1, for instance.",
        ),
        ("fps", float("inf"), "fps is inf."),
        (
            "fps",
            0.001,
            "fps is 0.001.\nA video shows 0.1 to 1000 pixel frames per second.\nSet --fps to 16, for ",
        ),
        ("fps", float("nan"), "fps is nan."),
        ("total_blocks", 0, "total_blocks is 0."),
        ("seed", -1, "seed is -1."),
    ],
)
def test_values_that_make_no_sense(toys, field, value, message):
    with pytest.raises(FieldValueError) as caught:
        derive_config(toys.PLAIN, **{field: value})
    assert str(caught.value).startswith(message)


def test_progress_in_lines(toys, tmp_path, capsys):
    derive_config(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=3, progress="lines").setup().run()
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "plain on cpu: loading"
    assert lines[1].startswith("plain on cpu: chunk 1 of 3 (eager), ")
    assert lines[2].startswith("plain on cpu: chunk 3 of 3 (eager), ")
    assert lines[2].endswith(" left")
    assert lines[3].startswith(f"6 frames are in {tmp_path}/v.mp4. ")
    assert "x real time, first chunk after " in lines[3]
    assert len(lines) == 4


def test_progress_off_is_silent(toys, tmp_path, capfd, caplog):
    with caplog.at_level(logging.DEBUG, logger="flashdreams"):
        run(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=2)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_an_output_that_another_run_takes_meanwhile_is_left_to_it(toys, tmp_path):
    class Outrun(type(toys.TOY.setup())):
        def _recording(self, *arguments):
            recording = super()._recording(*arguments)
            recording._open = lambda array: [taken.touch(exist_ok=False) for _ in range(2)]
            return recording

    taken = tmp_path / "v.mp4"
    with pytest.raises(OutputError) as caught:
        Outrun(derive_config(toys.TOY, output=taken, progress="off")).run()
    assert caught.value.what == f"{taken} exists already."
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
