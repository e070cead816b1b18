"""Plugins that watch rollouts."""

import logging

WATCHER = """
    seen = []

    @hookimpl
    def flashdreams_rollout_started(rollout):
        seen.append("started")

    @hookimpl
    def flashdreams_chunk_generated(index, chunk):
        seen.append((index, tuple(chunk.shape)))

    @hookimpl
    def flashdreams_rollout_finished():
        seen.append("finished")
"""

FAILING = """
    calls = []

    @hookimpl
    def flashdreams_chunk_generated(index):
        calls.append(index)
        raise {error}
"""


def drive(pipeline, chunks=3):
    with pipeline.initialize_cache(seed=1) as rollout:
        return [chunk.clone() for chunk in pipeline.stream(rollout, [None] * chunks)]


def test_observers_are_told_what_they_ask_for(here, toy):
    registry = here.plugin(WATCHER)
    toy.observers = registry.observers()
    shapes = [tuple(chunk.shape) for chunk in drive(toy, chunks=2)]
    import given_plugin

    assert registry.broken() == []
    assert given_plugin.seen == ["started", (0, shapes[0]), (1, shapes[1]), "finished"]


def test_one_that_raises_is_logged_once_and_told_nothing_more(here, toy, caplog):
    here.plugin(FAILING.replace("{error}", "RuntimeError('too bad')"), "failing")
    here.plugin(WATCHER, "watcher")
    plain = drive(toy)
    registry = here.registry(plugins={"failing": "failing_plugin", "watcher": "watcher_plugin"})
    toy.observers = registry.observers()
    with caplog.at_level(logging.WARNING):
        watched = drive(toy) and drive(toy)
    import failing_plugin
    import watcher_plugin

    assert all((a == b).all() for a, b in zip(plain, watched, strict=True))
    assert failing_plugin.calls == [0]
    assert len(watcher_plugin.seen) == 2 * (1 + 3 + 1)
    assert [record.getMessage() for record in caplog.records] == [
        "plugin failing (dist-failing 1.0) failed: RuntimeError: too bad, "
        "in flashdreams_chunk_generated(); it is told nothing more."
    ]


def test_one_that_exits_does_not_end_the_rollout(here, toy):
    registry = here.plugin(FAILING.replace("{error}", "SystemExit(1)"))
    toy.observers = registry.observers()
    assert len(drive(toy)) == 3


def test_one_registry_has_one_set_of_observers(here):
    registry = here.plugin(WATCHER)
    assert registry.observers() is registry.observers()
