import logging
import platform
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from flashdreams.errors import InputError
from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.scheduler.config import UniPCSchedulerConfig
from flashdreams.infra.pipeline.execution import Execution
from flashdreams.infra.runner.run_record import check_files, version_changes
from flashdreams.io.checksum import sha256_of


def frames_of(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def record_of(output):
    return yaml.safe_load(output.with_name(output.name + ".run.yaml").read_text())


def run(config, **changes):
    return record_of(derive_config(config, progress="off", **changes).setup().run().output)


def test_the_record_holds_what_the_video_is_made_from(toys, tmp_path):
    (tmp_path / "steer.txt").write_text("0.25")
    record = run(
        toys.TOY,
        output=tmp_path / "v.mp4",
        seed=3,
        threads=1,
        steer=None,
        steer_file=tmp_path / "steer.txt",
        pipeline={"diffusion_model": {"transformer": {"context_noise": 5.0}}},
    )
    assert record["slug"] == "toy"
    assert record["versions"].keys() >= {"flashdreams-core", "torch", "numpy", "python"}
    assert record["versions"]["python"] == platform.python_version()
    assert record["config"] == {
        "seed": 3,
        "progress": "off",
        "threads": 1,
        "steer": None,
        "steer_file": str(tmp_path / "steer.txt"),
        "pipeline": {"diffusion_model": {"transformer": {"context_noise": 5.0}}},
    }
    assert record["made_from"] == {
        "seed": 3,
        "device": "cpu",
        "threads": 1,
        "files": {str(tmp_path / "steer.txt"): sha256_of(tmp_path / "steer.txt")},
        "controls": [0.25],
    }
    assert record["made"] == {
        "output": "v.mp4",
        "finished": True,
        "chunks": 6,
        "frames": 12,
        "paths": [{"path": "eager", "first_chunk": 0, "chunks": 6}],
    }


class SwappedAfterTwo(Execution):
    """Runs eagerly, and says that it does not from chunk 2 on."""

    def begin_chunk(self, rollout, index):
        return "eager" if index < 2 else "compiled"


def test_it_tells_which_chunks_were_computed_how(toys, tmp_path, caplog):
    runner = derive_config(toys.TOY, progress="off", total_blocks=5, output=tmp_path / "v.mp4").setup()
    runner.pipeline.execution = SwappedAfterTwo()
    with caplog.at_level(logging.INFO, logger="flashdreams.infra.runner"):
        runner.run()
    assert record_of(tmp_path / "v.mp4")["made"]["paths"] == [
        {"path": "eager", "first_chunk": 0, "chunks": 2},
        {"path": "compiled", "first_chunk": 2, "chunks": 3},
    ]
    lines = [record.getMessage() for record in caplog.records]
    assert [re.sub(r"\d+\.\d+", "_", line) for line in lines] == [
        f"chunk {n} is final after _ s ({'eager' if n < 2 else 'compiled'})" for n in range(5)
    ]


def test_where_a_profile_went_is_no_part_of_it(toys, tmp_path):
    record = run(toys.TOY, output=tmp_path / "v.mp4", profile=tmp_path / "v.json", total_blocks=1)
    assert "profile" not in record["config"]
    assert "files" not in record["made_from"]


def test_it_is_on_disk_from_the_first_chunk_on(toys, tmp_path):
    seen = {}

    class Watching(toys.ToyRunner):
        def control(self, index, last_chunk):
            seen[index] = record_of(tmp_path / "v.mp4")["made"] if index else (tmp_path / "v.mp4").exists()
            return 0.0

    Watching(derive_config(toys.TOY, output=tmp_path / "v.mp4", progress="off", total_blocks=2)).run()
    assert seen == {0: False, 1: {"output": "v.mp4", "finished": False}}


@pytest.mark.parametrize(
    ("output", "written"),
    [("outputs/v.mp4", "outputs/v.mp4.run.yaml"), ("my dreams/v", "'my dreams/v.run.yaml'")],
)
def test_its_first_line_repeats_the_run_from_where_it_was_made(toys, tmp_path, monkeypatch, output, written):
    monkeypatch.chdir(tmp_path)
    summary = derive_config(toys.PLAIN, output=output, progress="off", total_blocks=1).setup().run()
    first = summary.record.read_text().splitlines()[0]
    assert first == f"# Written by FlashDreams. Again: flashdreams run --config {written}"


def test_the_number_of_threads_is_spelt_out(toys, tmp_path):
    import torch

    assert (
        run(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=1)["config"]["threads"]
        == torch.get_num_threads()
    )


def test_a_config_of_one_s_own_is_recorded_whole(toys, tmp_path):
    record = run(toys.PLAIN, runner_name="mine", output=tmp_path / "v.mp4", total_blocks=1)
    assert record["slug"] == "mine"
    assert record["config"]["pipeline"]["diffusion_model"]["transformer"]["width"] == 16
    assert "output" not in record["config"]


def test_text_that_happens_to_name_a_file_is_no_input(toys, tmp_path, monkeypatch):
    (tmp_path / "hill").write_text("not the hill of the prompt")
    monkeypatch.chdir(tmp_path)
    record = run(toys.TOY, prompt="hill", output=tmp_path / "v.mp4", total_blocks=1)
    assert "files" not in record["made_from"]


def test_files_that_the_runner_reads_are_inputs(toys, tmp_path):
    (tmp_path / "hill.txt").write_text("a hill")

    class Reading(toys.ToyRunner):
        def input_files(self):
            return [tmp_path / "hill.txt", "absent.txt"]

    config = derive_config(toys.TOY, output=tmp_path / "v.mp4", progress="off", total_blocks=1)
    record = record_of(Reading(config).run().output)
    assert record["made_from"]["files"] == {str(tmp_path / "hill.txt"): sha256_of(tmp_path / "hill.txt")}


def test_a_component_is_written_by_its_name(toys, tmp_path):
    unipc = UniPCSchedulerConfig(num_inference_steps=3)
    record = run(
        toys.PLAIN,
        pipeline={"diffusion_model": {"scheduler": unipc}},
        output=tmp_path / "v.mp4",
        total_blocks=1,
    )
    scheduler = record["config"]["pipeline"]["diffusion_model"]["scheduler"]
    assert scheduler == {"_use": "unipc", "num_inference_steps": 3}


def test_the_output_that_is_replaced_is_no_input(toys, tmp_path):
    for _ in range(2):
        record = run(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=1, overwrite=True)
    assert "files" not in record["made_from"]
    assert record["config"].keys() == {"total_blocks", "threads"}


def test_a_run_is_repeated_from_its_record(toys, tmp_path, finished):
    (tmp_path / "steer.txt").write_text("0.25")
    flags = [
        "--seed",
        "9",
        "--total-blocks",
        "4",
        "--scale",
        "2",
        "--steer-file",
        "steer.txt",
        "--steer",
        "None",
    ]
    flags += ["--prompt", "a: hill", "--pipeline.diffusion-model.transformer.window", "4", "--threads", "1"]
    assert finished("run", "toy", *flags, "--output", "first")[0] == 0
    code, _, err = finished("run", "--config", "first.run.yaml", "--output", "second")
    assert code == 0, err
    first, second = frames_of(tmp_path / "first"), frames_of(tmp_path / "second")
    assert first.shape == (8, 16, 16, 3)
    assert (first == second).all()
    records = [record_of(tmp_path / name) for name in ("first", "second")]
    assert records[0]["config"] == records[1]["config"]
    assert records[0]["made_from"] == records[1]["made_from"]


def test_a_repeated_run_without_a_name_replaces_nothing_and_makes_the_same_file(tmp_path, finished):
    assert finished("run", "toy")[0] == 0
    assert finished("run", "--config", "outputs/toy-seed0.mp4.run.yaml")[0] == 0
    first, second = (tmp_path / f"outputs/toy-seed0{count}.mp4" for count in ("", "-2"))
    assert first.read_bytes() == second.read_bytes()


def test_changed_input_files_are_found(tmp_path):
    for name in ("same.png", "other.png", "gone.png"):
        (tmp_path / name).write_text(name)
    files = {str(path): sha256_of(path) for path in tmp_path.iterdir()}
    record = {"slug": "toy", "made_from": {"files": files}}
    check_files(record)
    check_files({"slug": "toy", "config": {}})
    old, gone = files[str(tmp_path / "other.png")], files[str(tmp_path / "gone.png")]
    (tmp_path / "other.png").write_text("another")
    with pytest.raises(InputError) as caught:
        check_files(record)
    now = sha256_of(tmp_path / "other.png")
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/other.png is not the file that the run was made from: now {now[:12]}...",
        f"Its SHA-256 was {old[:12]}...",
        "Put that file back, or name the new one with its flag, without --config.",
    ]
    (tmp_path / "other.png").write_text("other.png")
    (tmp_path / "gone.png").unlink()
    with pytest.raises(
        InputError, match=rf"gone\.png .* made from: now absent\.\nIts SHA-256 was {gone[:12]}"
    ):
        check_files(record)


def test_changed_versions_are_named(toys, tmp_path):
    record = run(toys.PLAIN, output=tmp_path / "v.mp4", total_blocks=1)
    assert version_changes(record) == []
    record["versions"].update({"torch": "2.0", "flashdreams-gone": "1.0"})
    now = version_changes(record)
    assert now[0].startswith("torch was 2.0, and is ")
    assert now[1] == "flashdreams-gone was 1.0, and is not installed"
