import flashdreams
from flashdreams.testing.lane_races import find_races


def test_the_racer_decodes_beside_the_next_chunk_without_races():
    assert find_races(flashdreams.load("pocket-racer"), 4) == []
