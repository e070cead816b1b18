import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from flashdreams.cli.console import columns, print_error
from flashdreams.cli.flags import flags_help
from flashdreams.cli.options import VERBOSE, Option, looks_like_flag, take_options
from flashdreams.errors import FieldValueError, UsageError

CONFIG = Option("--config", "A file.", "FILE")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@contextmanager
def in_a_terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    with redirect_stdout(terminal), redirect_stderr(terminal):
        yield terminal


@pytest.fixture(autouse=True)
def _colours(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_errors_are_red_in_a_terminal():
    with in_a_terminal() as terminal:
        print_error(FieldValueError("Wrong.", "Right.", "Next."))
    assert terminal.getvalue() == "\033[1;31merror:\033[0m Wrong.\n       Right.\n       Next.\n"


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_plain_text_is_respected(toys, monkeypatch, variable, value):
    from cli_toys import runner_config

    with in_a_terminal() as terminal:
        assert "\033" in flags_help(runner_config(), "prog")
        monkeypatch.setenv(variable, value)
        print_error(FieldValueError("Wrong.", "Right.", "Next."))
        assert "\033" not in terminal.getvalue() + flags_help(runner_config(), "prog")


def test_help_is_ascii_where_stdout_is(toys):
    from cli_toys import runner_config

    terminal = Terminal()
    terminal.encoding = "ascii"
    with redirect_stdout(terminal):
        assert flags_help(runner_config(), "prog").isascii()


def test_columns_wrap_the_second(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert columns([("one", "word " * 12), ("three", "short"), ("alone", "")]) == (
        "  one    word word word word word word word word word word\n"
        "         word word\n"
        "  three  short\n"
        "  alone"
    )


@pytest.mark.parametrize("token", ["-v", "--x", "--", "--x=1", "-infx"])
def test_flags(token):
    assert looks_like_flag(token)


@pytest.mark.parametrize("token", ["-1", "-1.5e3", "-.5", "-inf", "-NaN", "-", "x", "", "-5x"])
def test_values_are_no_flags(token):
    assert not looks_like_flag(token)


def test_a_short_option_may_be_repeated_in_one_word():
    taken, rest = take_options(["-vv", "slug", "-vvv", "-x"], [VERBOSE])
    assert (len(taken[VERBOSE.name]), rest) == (5, ["slug", "-x"])


def test_options_are_taken_wherever_they_stand():
    taken, rest = take_options(
        ["a", "-v", "--x", "1", "--config", "f", "--verbose", "--config=g"], [CONFIG, VERBOSE]
    )
    assert taken == {"--verbose": ["", ""], "--config": ["f", "g"]}
    assert rest == ["a", "--x", "1"]


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["--config"], "--config has no value."),
        (["--config", "--seed"], "--config has no value."),
        (["--verbose=3"], "--verbose is given the value '3'."),
    ],
)
def test_options_refused(argv, what):
    with pytest.raises(UsageError) as caught:
        take_options(argv, [CONFIG, VERBOSE])
    assert caught.value.what == what
