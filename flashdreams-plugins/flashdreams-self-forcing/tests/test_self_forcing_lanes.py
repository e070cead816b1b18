import flashdreams
from flashdreams.testing.lane_races import find_races


def test_the_tiny_slug_decodes_beside_the_next_chunk_without_races():
    pipeline = flashdreams.load("self-forcing-tiny")
    assert find_races(pipeline, 2, rollouts=1, prompts=["a red cube"]) == []
