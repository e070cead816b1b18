"""Runs that go over to compiled code on their way: what is said, and what is written down to repeat them."""

import time

import numpy as np
import pytest
import yaml

from flashdreams.errors import FieldValueError
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.interrupts import Interrupts
from flashdreams.infra.runner.progress import Pace, Progress
from flashdreams.infra.runner.recording import Leaving, Recording


def recorded(toys, tmp_path, paths, goes_on="", **changes):
    """The record of a run whose chunks took these paths."""
    output = tmp_path / "v.mp4"
    config = derive_config(toys.PLAIN, output=output, total_blocks=len(paths), hot_swap=True, **changes)
    progress = Progress("plain on cpu", Pace(fps=16, total=len(paths), began=time.monotonic()), "lines")
    recording = Recording(output, config, {"slug": "plain", "config": {"seed": 3}}, progress, Interrupts())
    with recording:
        recording.begin()
        for path in paths:
            frames = np.zeros((2, 16, 16, 3), np.uint8)
            recording.write(Leaving(lambda frames=frames: frames, True, 2))
            recording.chunk_final(path)
        recording.device_is_done(goes_on)
    return yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())


def test_the_record_says_where_compiled_code_took_over(toys, tmp_path, capsys):
    record = recorded(toys, tmp_path, ["eager", "eager", "compiled", "compiled graph"])
    assert record["config"] == {"seed": 3, "swap_at": 2}
    assert [run["first_chunk"] for run in record["made"]["paths"]] == [0, 2, 3]
    said = capsys.readouterr().err.splitlines()
    assert "plain on cpu: chunk 3 of 4 is the first that is compiled" in said
    assert "plain on cpu: chunk 4 of 4 is the first that is compiled graph" in said


def test_a_run_that_ended_first_is_repeated_without(toys, tmp_path, capsys):
    record = recorded(toys, tmp_path, ["eager"] * 3, goes_on="It goes on behind.")
    assert record["config"] == {"seed": 3, "swap_at": "never"}
    assert capsys.readouterr().err.rstrip().endswith(" s. It goes on behind.")


def test_a_repetition_that_never_goes_over_compiles_nothing(toys, tmp_path):
    config = derive_config(
        toys.PLAIN, output=tmp_path / "v.mp4", hot_swap=True, swap_at="never", progress="off"
    )
    runner = config.setup()
    runner.run()
    assert runner.pipeline.execution.compiled is None
    record = yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())
    assert [run["path"] for run in record["made"]["paths"]] == ["eager"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(swap_at=3), "swap_at is 3, and hot_swap is False."),
        (dict(swap_at="never"), "swap_at is never, and hot_swap is False."),
        (dict(swap_at=7, hot_swap=True), "swap_at is 7, of 7 chunks."),
        (dict(swap_at=-1, hot_swap=True), "swap_at is -1, of 7 chunks."),
    ],
)
def test_a_swap_that_makes_no_sense(toys, changes, message):
    with pytest.raises(FieldValueError) as caught:
        derive_config(toys.PLAIN, **changes)
    assert str(caught.value).startswith(message)
