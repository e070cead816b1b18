"""pocket-racer from CUDA graphs, as far as that shows without a card."""

import flashdreams
from flashdreams.testing.conformance import graph_problems


def drive(index):
    return (0.1 * (index % 3), 0.5, 0.0)


def test_graphs_make_the_frames_that_the_code_makes():
    pipeline = flashdreams.load("pocket-racer", device="cpu")
    # More frames than the window holds: those behind it are steady.
    assert graph_problems(pipeline, chunks=(14, 1), controls=drive) == []
