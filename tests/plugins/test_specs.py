"""Specs refuse what cannot be a name or a target."""

import pytest

from flashdreams.errors import FieldValueError
from flashdreams.plugins.specs import CommandSpec, ComponentSpec, RunnerSpec


@pytest.mark.parametrize(
    ("make", "what", "right"),
    [
        (
            lambda: RunnerSpec("my slug", "", "a:b"),
            "RunnerSpec.slug is 'my slug'.",
            "It is a text without spaces that does not begin with a dash.",
        ),
        (
            lambda: CommandSpec("--list", "", "a:b"),
            "CommandSpec.name is '--list'.",
            "It is a text without spaces that does not begin with a dash.",
        ),
        (
            lambda: ComponentSpec("", "x", "", "a:b"),
            "ComponentSpec.kind is ''.",
            "It is a text without spaces that does not begin with a dash.",
        ),
        (
            lambda: RunnerSpec("x", "two\nlines", "a:b"),
            "RunnerSpec.summary is 'two\\nlines'.",
            "It is a text of one line.",
        ),
        (
            lambda: RunnerSpec("x", "", "a.b"),
            "RunnerSpec.target is 'a.b'.",
            'It reads "package.module:NAME".',
        ),
        (
            lambda: RunnerSpec("x", "", print),
            "RunnerSpec.target is <built-in function print>.",
            'It reads "package.module:NAME".',
        ),
        (
            lambda: RunnerSpec("x", "", "a:b", needs="cuda"),
            "RunnerSpec.needs is 'cuda'.",
            'It is a tuple of texts, such as ("cuda",).',
        ),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(make, what, right):
    with pytest.raises(FieldValueError) as raised:
        make()
    assert (raised.value.what, raised.value.right) == (what, right)
    assert raised.value.next == f"Correct {what.partition(' ')[0].partition('.')[2]} in the plugin."


def test_specs_are_values():
    assert RunnerSpec("a", "b", "c:d", needs=("cuda",)) == RunnerSpec("a", "b", "c:d", ("cuda",))
