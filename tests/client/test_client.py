"""The plain client, against a real server of pocket-racer."""

import io
from itertools import pairwise

import av
import numpy as np
import pytest

from flashdreams.errors import ServerRefusedError, ServerTimeoutError


def by_chunk(frames):
    return {frame.chunk: frame.pixels for frame in frames}


def in_both(ours, theirs):
    """Frames of the same chunks, side by side."""
    chunks = sorted(ours.keys() & theirs.keys())
    assert len(chunks) >= 5
    return [(ours[chunk], theirs[chunk]) for chunk in chunks]


def test_says_what_is_served(client):
    (model,) = client.models()
    assert client.is_ready()
    assert model["slug"] == "pocket-racer"
    assert (model["height"], model["width"]) == (64, 64)
    assert "steer" in [axis["name"] for axis in model["steering"]["axes"]]


def test_frames_come_in_order_and_as_they_were_asked_for(client):
    with client.open(seed=3, codec="png") as session:
        frames = list(session.frames(limit=12))
    assert session.seed == 3
    assert session.codec == "png"
    assert all(frame.pixels.shape == (64, 64, 3) and frame.pixels.dtype == np.uint8 for frame in frames)
    assert all(before.number < after.number for before, after in pairwise(frames))
    assert frames[0].seq == 0
    assert frames[0].latency is None


def test_a_control_takes_effect_in_the_chunk_of_its_receipt(client):
    with client.open(seed=1, codec="rgb", hold=50) as session:
        seq = session.set(steer=-0.5, gas=0.3)
        receipt = session.wait_receipt(seq)
        first = next(frame for frame in session.frames(limit=200) if frame.seq == seq)
    assert receipt.seq == seq
    assert first.chunk >= receipt.chunk
    assert first.latency > 0
    assert {"waited_ms", "made_ms", "held_ms", "encoded_ms"} <= first.stages.keys()


def test_a_seed_gives_the_same_frames_by_each_codec(client):
    seen = {}
    for codec in ("rgb", "png", "jpeg", "h264"):
        with client.open(seed=5, codec=codec, hold=50) as session:
            seen[codec] = by_chunk(session.frames(limit=12))
    for raw, png in in_both(seen["rgb"], seen["png"]):
        np.testing.assert_array_equal(raw, png)
    for lossy, bound in (("jpeg", 4.0), ("h264", 8.0)):
        for raw, other in in_both(seen["rgb"], seen[lossy]):
            assert np.abs(raw.astype(float) - other).mean() < bound, lossy


def test_other_seeds_give_other_frames(client):
    with client.open(seed=1, codec="rgb", hold=50) as session:
        one = by_chunk(session.frames(limit=8))
    with client.open(seed=2, codec="rgb", hold=50) as session:
        two = by_chunk(session.frames(limit=8))
    assert any((ours != theirs).any() for ours, theirs in in_both(one, two))


def test_the_server_picks_the_first_codec_that_it_knows(client):
    with client.open(codec=["h264", "jpeg"]) as session:
        assert session.codec == "h264"


def test_a_tag_is_part_of_the_pixels(client):
    with client.open(codec="rgb", tag=True) as session:
        assert next(session.frames(limit=1)).pixels.shape == (66, 64, 3)


def test_a_paused_session_shows_nothing_until_it_is_resumed(client):
    with client.open(seed=1) as session:
        session.pause()
        assert session.standing.state == "paused"
        with pytest.raises(ServerTimeoutError):
            list(session.frames(limit=50, timeout=0.5))
        session.resume()
        assert len(list(session.frames(limit=3, timeout=10))) == 3


def test_back_to_a_snapshot_makes_the_same_chunks_again(client):
    with client.open(seed=4, codec="rgb", hold=100) as session:
        list(session.frames(limit=3))
        session.keep("here")
        first = by_chunk(session.frames(limit=10))
        before = max(first)
        session.back_to("here")
        again = []
        for frame in session.frames(limit=200):
            again += [frame] if again or frame.chunk < before else []
            before = frame.chunk
            if len(again) == 10:
                break
    for ours, theirs in in_both(first, by_chunk(again)):
        np.testing.assert_array_equal(ours, theirs)


def test_a_fork_has_seen_the_same(client):
    with client.open(seed=6, codec="rgb", hold=100) as session:
        session.wait_receipt(session.set(steer=0.4))
        with session.fork() as other:
            ours = by_chunk(session.frames(limit=12))
            theirs = by_chunk(other.frames(limit=12))
    assert session.id != other.id
    for one, two in in_both(ours, theirs):
        np.testing.assert_array_equal(one, two)


def test_the_last_seconds_are_saved_and_can_be_fetched_after_the_end(client):
    with client.open(seed=1) as session:
        list(session.frames(limit=20))
        saved = session.save(10)
    data = session.video(saved.name)
    assert saved.bytes == len(data)
    with av.open(io.BytesIO(data)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == pytest.approx(saved.seconds * session.model["fps"], abs=1.5)


def test_a_log_is_replayed_and_goes_on_where_the_session_was(client):
    with client.open(seed=8, codec="rgb", hold=200) as session:
        session.wait_receipt(session.set(steer=-0.5))
        list(session.frames(limit=5))
        session.pause()
        log = session.log()
        session.resume()
        original = by_chunk(session.frames(limit=40))
    with client.open(log=log, codec="rgb", hold=200) as replayed:
        again = by_chunk(replayed.frames(limit=20))
    assert replayed.seed == 8
    for ours, theirs in in_both(original, again):
        np.testing.assert_array_equal(ours, theirs)


def test_a_log_that_was_made_otherwise_says_what_differs(client, caplog):
    with client.open(seed=8) as session:
        list(session.frames(limit=2))
        log = session.log()
        assert session.reset(log=log) == ()
    threads = log["made_with"]["threads"]
    log["made_with"]["threads"] = threads + 1
    told = f"threads was '{threads + 1}', and is '{threads}'"
    with client.open(log=log) as session:
        assert session.standing.detail == {"differs": [told]}
        assert session.reset(seed=9) == ()
        assert session.seed == 9
        assert session.reset(log=log) == (told,)
        assert session.seed == 8
    assert told in caplog.text


def test_a_reset_begins_another_rollout(client):
    with client.open(seed=1, codec="rgb", hold=50) as session:
        list(session.frames(limit=5))
        session.reset(seed=9)
        after = {}
        for frame in session.frames(limit=60):
            after = {} if frame.chunk == 0 else after
            after[frame.chunk] = frame.pixels
    with client.open(seed=9, codec="rgb", hold=50) as fresh:
        alone = by_chunk(fresh.frames(limit=20))
    for ours, theirs in in_both(after, alone):
        np.testing.assert_array_equal(ours, theirs)


def test_a_wrong_control_is_refused_in_words_and_the_session_goes_on(client, caplog):
    with client.open(seed=1) as session:
        seq = session.set(stear=1.0)
        with pytest.raises(ServerRefusedError, match="stear") as caught:
            session.wait_receipt(seq)
        assert caught.value.code
        assert "stear" in caplog.text
        assert session.refusals[-1].seq == seq
        assert len(list(session.frames(limit=2, timeout=10))) == 2


def test_an_order_that_cannot_be_done_is_refused_with_a_code(client):
    with client.open(seed=1) as session, pytest.raises(ServerRefusedError) as caught:
        session.back_to("nowhere")
    assert caught.value.code == "no_such_snapshot"


def test_frames_end_with_the_session(client):
    session = client.open(seed=1)
    list(session.frames(limit=1))
    session.close()
    assert len(list(session.frames(limit=100))) <= 2
    session.close()
