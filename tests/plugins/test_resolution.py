"""Whether a change would leave a requirement unmet of what is installed."""

import pytest

from flashdreams.plugins.resolution import Package, installed_packages, needed_by, newly_unmet


def packages(*rows):
    """Packages by name, of rows of name, version and requirements; those named plugin-... are plugins."""
    return {
        name: Package(name, version, tuple(requires), name.startswith("plugin-"))
        for name, version, *requires in rows
    }


def harm(before, *rows):
    """What a change to these would break, as text."""
    return [str(unmet) for unmet in newly_unmet(before, before | packages(*rows))]


BEFORE = packages(
    ("flashdreams-core", "0.1", "maths>=2", "old-maths; python_version < '3'"),
    ("plugin-given", "1.0", "Small_Library<2", "flashdreams-core", "docs-only; extra == 'docs'"),
    ("small-library", "1.5", "tiny~=1.0"),
    ("maths", "2.4"),
    ("tiny", "1.2"),
    ("somebody-else", "3.0", "tiny<1.3"),
)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("small-library", "1.9", "tiny"), []),
        (("tiny", "1.9"), []),  # who breaks there has nothing to do with us
        (("unrelated", "1.0"), []),
        (("small-library", "2.0"), ["plugin-given 1.0 needs Small_Library<2, and there would be 2.0."]),
        (("small-library", "1.9rc1", "tiny"), []),
        (("tiny", "2.0"), ["small-library 1.5 needs tiny~=1.0, and there would be 2.0."]),
        (("maths", "1.0"), ["flashdreams-core 0.1 needs maths>=2, and there would be 1.0."]),
        (("maths", "3.0a1"), []),
        (("maths", "odd"), ["flashdreams-core 0.1 needs maths>=2, and there would be odd."]),
        (("docs-only", "1.0"), []),
        (("old-maths", "1.0"), []),
        (("plugin-new", "1.0", "gone"), ["plugin-new 1.0 needs gone, and it would not be there."]),
        (("new-library", "1.0", "tiny>=2"), ["new-library 1.0 needs tiny>=2, and there would be 1.2."]),
        (("new-library", "1.0", "this is ! no requirement"), []),
        (("plugin-new", "1.0", "gone @ https://example.invalid/gone.whl"), None),
    ],
)
def test_only_what_plugins_and_core_need_counts(row, told):
    found = harm(BEFORE, row)
    if told is None:
        assert len(found) == 1
    else:
        assert found == told


def test_extras_that_are_required_count():
    before = packages(
        ("plugin-given", "1.0", "library[fast]"),
        ("library", "1.0", "speed<2; extra == 'fast'", "other<2; extra == 'slow'"),
        ("speed", "1.0"),
        ("other", "1.0"),
    )
    assert harm(before, ("other", "2.0")) == []
    assert harm(before, ("speed", "2.0")) == ["library 1.0 needs speed<2, and there would be 2.0."]


def test_what_was_broken_before_is_nobodys_doing():
    before = packages(("plugin-given", "1.0", "gone"), ("tiny", "1.0"))
    assert harm(before, ("tiny", "2.0")) == []


def test_requirements_in_a_circle_end():
    before = packages(("plugin-a", "1.0", "plugin-b"), ("plugin-b", "1.0", "plugin-a<2"))
    assert harm(before, ("plugin-a", "2.0")) == ["plugin-b 1.0 needs plugin-a<2, and there would be 2.0."]


def test_who_needs_a_package():
    assert [p.name for p in needed_by(BEFORE, "tiny")] == ["small-library", "somebody-else"]
    assert [p.name for p in needed_by(BEFORE, "Small.Library")] == ["plugin-given"]
    assert needed_by(BEFORE, "docs-only") == []


def test_what_is_installed_here_is_read():
    here = installed_packages()
    assert here["flashdreams-core"].is_plugin
    assert not here["packaging"].is_plugin
    assert any(line.startswith("torch") for line in here["flashdreams-core"].requires)
    assert newly_unmet(here, here) == []
    assert {p.name for p in needed_by(here, "flashdreams-core")} >= {"flashdreams-pocket", "flashdreams-wan"}
