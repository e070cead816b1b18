import pytest

STEP = "pipeline.diffusion_model.scheduler"
FLAG = "--pipeline.diffusion-model.scheduler"


def lines(outcome) -> list[list[str]]:
    return [line.split() for line in outcome.out.splitlines()]


@pytest.mark.parametrize(
    "argv",
    [
        ["--use", "scheduler=toy-one-step"],
        ["--use=scheduler=toy-one-step"],
        ["--use", "pipeline.diffusion_model.scheduler=toy-one-step"],
        ["--use", "pipeline.diffusion-model.scheduler=toy-one-step"],
        [FLAG, "toy-one-step"],
        [f"{FLAG}=toy-one-step"],
    ],
)
def test_a_component_is_swapped_and_its_fields_are_flags(cli, argv):
    outcome = cli("show", "toy-16px", f"{FLAG}.timestep", "900", *argv, "--diff")
    assert (outcome.code, outcome.err) == (0, "")
    assert lines(outcome) == [
        [STEP, "StepsConfig", "->", "toy-one-step"],
        [f"{STEP}.timestep", "900.0"],
    ]


def test_help_shows_the_fields_of_the_new_component(cli):
    before, after = (
        cli("run", "toy-16px", "--help"),
        cli("run", "toy-16px", "--use", "scheduler=toy-one-step", "--help"),
    )
    assert f"{FLAG}.timestep FLOAT" in after.out
    assert "Where the step begins. (default: 1000.0)" in after.out
    assert f"{FLAG}.warp" in before.out
    assert f"{FLAG}.warp" not in after.out


def test_a_field_that_holds_nothing_is_filled(cli):
    outcome = cli("show", "toy-16px", "--use", "context_encoder=toy-words", "--use", "encoder=None", "--diff")
    assert lines(outcome) == [
        ["pipeline.encoder", "KeysConfig", "->", "None"],
        ["pipeline.diffusion_model.transformer.context_encoder", "None", "->", "toy-words"],
    ]


def test_the_swapped_config_is_validated_as_a_whole(cli):
    swap = ("show", "toy-16px", "--use", "decoder=toy-coarse")
    refused = cli(*swap)
    assert refused.code == 2
    assert "The size is 16x16 pixels (height x width)." in refused.err
    assert cli(*swap, "--pipeline.height", "64", "--pipeline.width", "32").code == 0
    assert cli("run", *swap[1:], "--help").code == 0


def test_nothing_is_swapped_in_what_the_registry_holds(cli):
    cli("show", "toy-16px", "--use", "scheduler=toy-one-step")
    assert cli("show", "toy-16px", "--diff").out == "Nothing differs from toy-16px.\n"


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (
            ["--use", "schedule=toy-one-step"],
            [
                "error: --use schedule=...: no field 'schedule' holds a component.",
                "       Did you mean 'scheduler'?",
                "       Name a field of the config, or its dotted path.",
            ],
        ),
        (
            ["--use", "scheduler=toy-one-stop"],
            [
                "error: There is no scheduler 'toy-one-stop'.",
                "       Did you mean 'toy-one-step'?",
                "       See them all with: flashdreams components scheduler",
            ],
        ),
        (
            ["--use", "decoder=toy-strange"],
            [
                "error: pipeline.decoder cannot be 'toy-strange', which is a OneStepConfig.",
                "       It takes DecoderConfig or None.",
                "       See what there is with: flashdreams components",
            ],
        ),
        (
            ["--use", "scheduler=None"],
            [
                f"error: {STEP} cannot be 'None', which is nothing.",
                "       It takes SchedulerConfig.",
                "       See what there is with: flashdreams components",
            ],
        ),
        (
            ["--use", "diffusion_model=x"],
            [
                "error: There is no component 'x' for pipeline.diffusion_model.",
            ],
        ),
        (
            ["--use", "scheduler"],
            [
                "error: --use 'scheduler' names no component.",
                "       It reads --use kind=name, such as --use decoder=NAME.",
                "       See kinds and names with: flashdreams components",
            ],
        ),
        (
            [FLAG, "--seed", "3"],
            [
                f"error: {FLAG} names no component.",
                f"       It reads {FLAG} NAME.",
                "       See the names with: flashdreams components",
            ],
        ),
    ],
)
def test_mistakes(cli, argv, error):
    outcome = cli("run", "toy-16px", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[: len(error)] == error


def test_a_kind_that_several_fields_have_needs_its_path(toys):
    from dataclasses import dataclass, field
    from typing import Any

    from cli_toys import WordsConfig

    from flashdreams.cli.swap import take_swaps
    from flashdreams.errors import UnknownFieldError
    from flashdreams.infra.config import InstantiateConfig
    from flashdreams.plugins.registry import installed_registry

    @dataclass(kw_only=True)
    class Inner(InstantiateConfig):
        _target: Any = object
        encoder: Any = field(default_factory=WordsConfig)

    @dataclass(kw_only=True)
    class Outer(Inner):
        inner: Any = field(default_factory=Inner)

    with pytest.raises(UnknownFieldError) as caught:
        take_swaps(Outer(), ["encoder=toy-words"], [], installed_registry())
    assert caught.value.what == "'encoder' is the name of 2 fields."
    assert caught.value.right == "They are encoder, inner.encoder."
    draft, _ = take_swaps(Outer(), ["inner.encoder=toy-words"], [], installed_registry())
    assert draft.inner.encoder == WordsConfig()
