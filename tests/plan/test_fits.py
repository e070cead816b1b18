"""A run that cannot fit is refused before anything is loaded, with flags with which it would."""

import re
import shlex

import pytest

from flashdreams.cli.flags import parse_flags
from flashdreams.cli.swap import take_swaps
from flashdreams.errors import DeviceError, DeviceMemoryError
from flashdreams.plan import plan_of
from flashdreams.plan.fit import check_fits
from flashdreams.plan.remedies import remedies
from flashdreams.plugins.registry import installed_registry

MIB = 2**20


def refusal(config, free):
    with pytest.raises(DeviceMemoryError) as caught:
        check_fits(config, free=free)
    return caught.value


def ways(error):
    """Flags that the error names."""
    return re.findall(r"with (--.*?) \(needs [\d.]+ [GM]iB\)", error.next)


def with_flags(config, flags):
    options, words = [], shlex.split(flags)
    while "--use" in words:
        place = words.index("--use")
        options.append(words[place + 1])
        del words[place : place + 2]
    draft, words = take_swaps(config, options, words, installed_registry())
    return parse_flags(draft, words, "flashdreams run")


def test_a_run_that_fits_is_not_refused(plan_toys):
    needed = plan_of(plan_toys.WIDE, memory_only=True).needed_on("cpu")
    check_fits(plan_toys.WIDE, free=needed)
    refusal(plan_toys.WIDE, needed - 1)


def test_the_refusal_says_what_it_takes_and_what_would_fit(plan_toys):
    error = refusal(plan_toys.WIDE, 200 * MIB)
    assert isinstance(error, DeviceError)
    assert re.fullmatch(
        r"wide needs 27\d\.\d MiB at 128 x 128 in float32, and cpu has 200\.0 MiB free\.", error.what
    )
    assert re.fullmatch(
        r"It takes weights 6\.\d MiB, KV cache 144\.1 MiB, while in step \d+\.\d MiB\.", error.right
    )
    assert ways(error) == [
        "--pipeline.dtype bfloat16",
        "--pipeline.height 96 --pipeline.width 96",
    ]
    assert error.next.endswith("`flashdreams plan wide` shows all of it; --force tries it as it is.")


@pytest.mark.parametrize(
    ("slug", "free"),
    [("WIDE", 200), ("WIDE", 130), ("HALF", 100), ("WIDE", 30), ("TILED", 200), ("TILED", 95)],
)
def test_whatever_is_named_fits(plan_toys, slug, free):
    config = getattr(plan_toys, slug)
    named = ways(refusal(config, free * MIB))
    assert 1 <= len(named) <= 3
    for flags in named:
        check_fits(with_flags(config, flags), free=free * MIB)


def test_the_window_that_is_named_is_the_largest_that_fits(plan_toys):
    config = with_flags(plan_toys.WIDE, "--pipeline.diffusion-model.transformer.window 12")
    error = refusal(config, 330 * MIB)
    (flags,) = (way for way in ways(error) if "window" in way)
    window = int(flags.split()[-1])
    larger = with_flags(config, flags.replace(str(window), str(window + 2)))
    assert window > 4
    refusal(larger, 330 * MIB)


def test_tiles_and_other_decoders_are_named_where_decoding_takes_most(plan_toys):
    assert ways(refusal(plan_toys.TILED, 200 * MIB)) == [
        "--pipeline.decoder.tile 256",
        "--use decoder=a-thin-one",
        "--pipeline.height 384 --pipeline.width 384",
    ]


def test_on_a_gpu_a_text_encoder_that_is_released_does_not_count(plan_toys):
    plan = plan_of(plan_toys.PROMISED)
    assert plan.needed_on("cpu") > plan.memory.transient > plan.needed_on("cuda")
    room = plan.needed_on("cuda") - 1
    assert remedies(plan_toys.PROMISED, plan, "cpu", room) == []
    assert [each.flags for each in remedies(plan_toys.PROMISED, plan, "cuda", room)] != []


def test_several_changes_together_where_none_is_enough(plan_toys):
    (flags,) = ways(refusal(plan_toys.WIDE, 30 * MIB))
    assert flags.startswith("--pipeline.dtype bfloat16 --pipeline.diffusion-model.transformer.window 4")


def test_where_nothing_helps_nothing_is_named(plan_toys):
    error = refusal(plan_toys.WIDE, 1 * MIB)
    assert ways(error) == []
    assert error.next.startswith("No smaller setting of it fits here.")


def test_what_cannot_be_planned_is_not_refused(plan_toys):
    check_fits(plan_toys.SECRETIVE, free=10**6)


def test_a_small_model_is_not_even_planned(plan_toys, monkeypatch):
    import flashdreams.plan.planner as planner

    planned = []
    monkeypatch.setattr(planner, "plan_of", lambda *given: planned.append(given))
    check_fits(plan_toys.TOY, free=2**30)
    assert planned == []


HUGE = ("--pipeline.height", "16384", "--pipeline.width", "16384")
"""Keys and values of 2.5 TB: more than any machine that runs tests has free."""


def test_the_runner_refuses_and_builds_nothing(command, tmp_path):
    code, out, err = command("run", "wide", *HUGE, "--output", str(tmp_path / "x.mp4"))
    assert (code, out) == (2, "")
    assert re.match(r"error: wide needs \d+\.\d\d GiB at 16384 x 16384 in float32, and cpu has", err)
    assert list(tmp_path.iterdir()) == []


def test_force_runs_what_seems_not_to_fit(command):
    code, out, err = command("run", "wide", *HUGE, "--print-config", "--force")
    assert (code, err) == (0, "")
    assert out.startswith("RunnerConfig")
