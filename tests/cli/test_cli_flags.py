from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from flashdreams.cli.flags import flags_help, parse_flags
from flashdreams.cli.options import VERBOSE, Option
from flashdreams.errors import (
    ConfigError,
    FieldTypeError,
    FieldValueError,
    FlashDreamsError,
    UnknownFieldError,
    UsageError,
)
from flashdreams.infra.config import InstantiateConfig

PROG = "flashdreams run toy-16px"
SCHEDULER = "--pipeline.diffusion-model.scheduler"
TRANSFORMER = "--pipeline.diffusion-model.transformer"


@pytest.fixture
def config(toys):
    from cli_toys import runner_config

    return runner_config()


@pytest.fixture
def parse(config):
    return lambda *argv: parse_flags(config, argv, PROG)


@pytest.fixture
def refused(parse):
    """The three parts of the error that a line ends in."""

    def refuse(kind: type[FlashDreamsError], *argv: str) -> tuple[str, str, str]:
        with pytest.raises(kind) as caught:
            parse(*argv)
        return caught.value.what, caught.value.right, caught.value.next

    return refuse


def test_no_flags_change_nothing(parse, config):
    assert parse() == config
    assert parse() is not config


def test_flags_at_every_depth(parse):
    made = parse("--total-blocks", "7", "--pipeline.height", "32", f"{TRANSFORMER}.use-cuda-graph", "True")
    assert made.total_blocks == 7
    assert made.pipeline.height == 32
    assert made.pipeline.diffusion_model.transformer.use_cuda_graph is True


def test_the_config_itself_stays(parse, config):
    parse("--seed", "3", f"{SCHEDULER}.denoising-timesteps", "5")
    assert config.seed == 0
    assert config.pipeline.diffusion_model.scheduler.denoising_timesteps == [1000, 500]


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--total_blocks", "3"], "total_blocks", 3),
        (["--total-blocks=3"], "total_blocks", 3),
        (["--seed", "1", "--seed", "2"], "seed", 2),
        (["--fps", "24"], "fps", 24.0),
        (["--gain", "0.5"], "gain", 0.5),
        (["--gain", "None"], "gain", None),
        (["--output", "a b.mp4"], "output", Path("a b.mp4")),
        (["--output", "None"], "output", None),
        (["--description", ""], "description", ""),
        (["--description="], "description", ""),
        (["--description=-v is a flag"], "description", "-v is a flag"),
        (["--description=--seed=3"], "description", "--seed=3"),
        (["--prompts", "a cat", "a dog"], "prompts", ["a cat", "a dog"]),
        (["--prompts=a cat", "a dog"], "prompts", ["a cat", "a dog"]),
        (["--prompts"], "prompts", []),
        (["--crop", "-1", "2"], "crop", (-1, 2)),
        (["--weights", "cat", "0.5", "dog", "-inf"], "weights", {"cat": 0.5, "dog": float("-inf")}),
        (["--mode", "full disk"], "mode", "full disk"),
    ],
)
def test_values(parse, argv, name, value):
    made = getattr(parse(*argv), name)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["--overwrite"], True),
        (["--overwrite", "True"], True),
        (["--overwrite", "true"], True),
        (["--overwrite=True"], True),
        (["--overwrite", "False"], False),
        (["--no-overwrite"], False),
        (["--overwrite", "--no-overwrite"], False),
        (["--no-overwrite", "--overwrite"], True),
    ],
)
def test_booleans(parse, argv, value):
    assert parse(*argv).overwrite is value
    assert parse(*argv, "--seed", "1").overwrite is value


@pytest.mark.parametrize(
    "flag",
    [
        "--pipeline.diffusion-model.scheduler.no-warp",
        "--no-pipeline.diffusion-model.scheduler.warp",
        "--pipeline.diffusion_model.scheduler.no_warp",
    ],
)
def test_nested_booleans(parse, flag):
    assert parse(flag).pipeline.diffusion_model.scheduler.warp is False


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        ([f"{TRANSFORMER}.use-cuda-graph"], True),
        ([f"{TRANSFORMER}.no-use-cuda-graph"], False),
        ([f"{TRANSFORMER}.use-cuda-graph", "false"], False),
        ([f"{TRANSFORMER}.use-cuda-graph", "auto"], "auto"),
    ],
)
def test_a_literal_with_booleans_among_others(parse, argv, value):
    assert parse(*argv).pipeline.diffusion_model.transformer.use_cuda_graph == value


def test_a_value_is_validated_beside_the_others(parse, refused):
    assert parse(f"{TRANSFORMER}.chunk", "4").pipeline.diffusion_model.transformer.chunk == 4
    what, _, _ = refused(FieldValueError, f"{TRANSFORMER}.chunk", "5")
    assert what.endswith("window is 12 and sink 0, in chunks of 5 latent frames.")


def test_unknown_flag_names_the_nearest(refused):
    assert refused(UnknownFieldError, "--total-block", "3") == (
        "--total-block is no flag of `flashdreams run toy-16px`.",
        "Did you mean --total-blocks?",
        "See `flashdreams run toy-16px --help`. A value that begins with a dash is written --flag=-value.",
    )


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [
        ("--use-cuda-graph", f"Did you mean {TRANSFORMER}.use-cuda-graph?"),
        ("--wrap", f"Did you mean {SCHEDULER}.warp?"),
        ("--pipeline.difusion-model.transformer.window", f"Did you mean {TRANSFORMER}.window?"),
        ("--width", "Did you mean --pipeline.width or --pipeline.encoder.width?"),
        ("--no-overwrit", "Did you mean --overwrite?"),
        ("-seed", "Did you mean --seed?"),
        ("--q", "No flag is called anything like it: each field of the config has one."),
        ("--zzz", "No flag is called anything like it: each field of the config has one."),
    ],
)
def test_nearest_flags(refused, flag, nearest):
    _, right, _ = refused(UnknownFieldError, flag, "3")
    assert right == nearest


def test_target_is_no_flag(refused):
    assert (
        refused(UnknownFieldError, "--_target", "x:Y")[0]
        == "--_target is no flag of `flashdreams run toy-16px`."
    )


def test_flag_of_a_field_that_holds_nothing(refused):
    assert refused(UnknownFieldError, "--pipeline.decoder.spatial-compression", "8") == (
        "--pipeline.decoder.spatial-compression is no flag yet.",
        "pipeline.decoder is None, and so has no fields.",
        "Put a component there: --use pipeline.decoder=NAME. `flashdreams components` lists them.",
    )


@pytest.mark.parametrize(
    ("argv", "what", "right", "step"),
    [
        (["--seed", "x"], "--seed is 'x'.", "It takes int.", "Write --seed 0, for instance."),
        (["--seed"], "--seed is given no value.", "It takes int.", "Write --seed 0, for instance."),
        (
            ["--seed", "1", "2"],
            "--seed is given 2 values, 1 2.",
            "It takes int.",
            "Write --seed 0, for instance.",
        ),
        (["--seed", "1.5"], "--seed is '1.5'.", "It takes int.", "Write --seed 0, for instance."),
        (["--crop", "1"], "--crop is '1'.", "It takes tuple[int, int].", "Write --crop 0 0, for instance."),
        (["--overwrite", "maybe"], "--overwrite is 'maybe'.", "It takes bool.", "Write --overwrite False"),
        (["--gain", "loud"], "--gain is 'loud'.", "It takes float or None.", f"`{PROG} --help` explains it."),
        (["--weights", "cat"], "--weights is 'cat'.", "It takes dict[str, float].", f"`{PROG} --help`"),
        (["--output"], "--output is given no value.", "It takes Path or None.", f"`{PROG} --help`"),
        (
            ["--description", "a", "b"],
            "--description is given 2 values, a b.",
            "It takes str.",
            "Write --desc",
        ),
        (
            [f"{SCHEDULER}.denoising-timesteps", "9", "b"],
            f"{SCHEDULER}.denoising-timesteps is given 2 values, 9 b.",
            "It takes list[int].",
            f"Write {SCHEDULER}.denoising-timesteps 1000 500, for instance.",
        ),
        (
            ["--pipeline.dtype", "float23"],
            "--pipeline.dtype is 'float23'.",
            "It takes 'float32', 'bfloat16' or 'float16'. Did you mean float32?",
            "Write --pipeline.dtype float32, for instance.",
        ),
        (
            [f"{TRANSFORMER}.use-cuda-graph", "yes"],
            f"{TRANSFORMER}.use-cuda-graph is 'yes'.",
            "It takes 'auto', True or False.",
            f"Write {TRANSFORMER}.use-cuda-graph auto, for instance.",
        ),
    ],
)
def test_bad_values(refused, argv, what, right, step):
    said = refused(FieldTypeError, *argv)
    assert said[:2] == (what, right)
    assert said[2].startswith(step)


def test_value_behind_a_negation(refused):
    assert refused(UsageError, "--no-overwrite", "True") == (
        "--no-overwrite is given the value 'True'.",
        "--no-overwrite takes no value: it says --overwrite False.",
        "Write --no-overwrite alone, or --overwrite True.",
    )


def test_word_before_any_flag(refused):
    assert refused(UsageError, "stray", "--seed", "1")[0] == "'stray' stands where a flag was expected."


def test_runner_name_is_fixed(refused):
    assert refused(UsageError, "--runner-name", "other")[0] == "--runner-name is fixed to 'toy-16px'."


def test_field_that_no_line_can_hold(refused):
    what, right, step = refused(ConfigError, "--stages", "x")
    assert what == "--stages is list[WordsConfig], which a command line cannot hold."
    assert (right, step) == ("A config file can.", "Set stages in a file and pass it with --config FILE.")


def test_component_is_swapped_by_the_command_alone(refused):
    what, _, step = refused(UsageError, "--pipeline.decoder", "toy-coarse")
    assert what == "'toy-coarse' is given to a flag that only a whole command reads."
    assert step == "Write it with `flashdreams run` or `flashdreams show`."


def test_config_class_defined_in_a_function():
    @dataclass(kw_only=True)
    class LocalPartConfig(InstantiateConfig):
        """A part."""

        _target: type["LocalPart"] = field(default_factory=lambda: LocalPart)
        depth: int = 2
        """How deep."""

    @dataclass(kw_only=True)
    class LocalConfig(InstantiateConfig):
        """The whole."""

        _target: type["LocalPart"] = field(default_factory=lambda: LocalPart)
        part: Any = field(default_factory=LocalPartConfig)
        """Its part."""
        kind: Literal["a", "b"] = "a"
        """Its kind."""

    class LocalPart:
        pass

    made = parse_flags(LocalConfig(), ["--part.depth", "5", "--kind", "b"], "prog")
    assert (made.part.depth, made.kind) == (5, "b")
    assert made._target is LocalPart
    help_text = flags_help(LocalConfig(), "prog")
    assert "How deep. (default: 2)" in help_text
    assert "target" not in help_text


@pytest.fixture
def helped(config, monkeypatch):
    def helped(columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        return flags_help(config, PROG, [VERBOSE, Option("--use", "Swap a part.", "KIND=NAME")])

    return helped


def test_help_shows_every_field_with_its_docstring_and_value(helped):
    text = " ".join(helped(120).replace("│", " ").split())
    for part in (
        "usage: flashdreams run toy-16px [-h] [OPTIONS] A toy of 16 pixels.",
        "-v, --verbose Log what happens",
        "--use KIND=NAME Swap a part.",
        "--runner-name STR The slug, equal to the name of its entry point. (fixed: toy-16px)",
        "--total-blocks INT Chunks to generate. (default: 7)",
        "--overwrite {True,False} Replace the output where it exists already. (default: False)",
        "--gain {None}|FLOAT Brightness, where it is changed. (default: None)",
        "--crop INT INT Pixels cut off above and below. (default: 0 0)",
        "--pipeline NAME The pipeline that is run. (now: StreamInferencePipelineConfig)",
        "--pipeline.dtype {float32,bfloat16,float16} Floating-point type",
        "--pipeline.decoder {None}|NAME Turns latents into pixels; None returns the latents. (now: None)",
        "--pipeline.encoder.width INT Length of the encoding. (default: 8)",
        "pipeline.encoder options",
        "Keys that are held down.",
        f"{SCHEDULER}.denoising-timesteps [INT [INT ...]] Timesteps from noise to clean. (default: 1000 500)",
        f"{TRANSFORMER}.use-cuda-graph {{auto,True,False}} Replay passes from CUDA graphs",
        f"{TRANSFORMER}.context-encoder {{None}}|NAME Encodes what is given once",
    ):
        assert part in text
    assert "_target" not in text
    assert "{fixed}" not in text


def test_help_has_no_subcommands(helped):
    assert "subcommand" not in helped(80)
    assert "encoder:" not in helped(80)


@pytest.mark.parametrize(("columns", "fits"), [(10, 60), (60, 60), (80, 80), (120, 120), (300, 120)])
def test_help_fits_the_terminal_within_what_is_readable(helped, columns, fits):
    widths = [len(line) for line in helped(columns).splitlines()]
    assert max(widths) == fits


def test_help_is_plain_where_there_is_no_terminal(helped):
    assert "\033" not in helped(80)
