"""What a session keeps of its video, and what is saved of it."""

import gc
import io
import threading
import tracemalloc
from concurrent.futures import Future

import av
import numpy as np
import pytest

from flashdreams_serve.host.events import ShownChunk
from flashdreams_serve.media import backlog
from flashdreams_serve.media.backlog import Backlog
from flashdreams_serve.media.errors import SavingError
from flashdreams_serve.media.fragments import Fragments, mp4_of
from flashdreams_serve.media.reel import MOST_SAVES, Reels
from flashdreams_serve.media.shelf import Shelf

FPS = 8.0


def frame_of(number, height=32, width=48):
    """A grey frame that tells its number modulo 64."""
    return np.full((height, width, 3), 4 * (number % 64), np.uint8)


def number_in(pixels):
    return round(pixels.mean() / 4)


def chunk_of(index, frames=4, **size):
    pixels = np.stack([frame_of(frames * index + number, **size) for number in range(frames)])
    return ShownChunk(
        chunk=index,
        frames=pixels,
        first_frame=frames * index,
        fps=FPS,
        epoch=0,
        seq=0,
        sent_at=None,
        received_at=None,
        due_at=0.0,
        began_at=0.0,
        made_at=0.0,
        path="eager",
    )


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "saved", 1 << 24)


@pytest.fixture
def reels(shelf):
    reels = Reels(shelf, keep_seconds=3.0, scale=2)
    yield reels
    reels.close()


def video(path):
    """Times in seconds, and frames, of a video."""
    with av.open(str(path)) as container:
        frames = [
            (float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]
    return [time for time, _ in frames], [pixels for _, pixels in frames]


def saved(reel, seconds=3.0):
    return reel.save(seconds).result(timeout=10)


def test_the_last_seconds_are_saved(reels, shelf):
    reel = reels.recorder("a")
    for index in range(20):  # 10 s
        reel.show(chunk_of(index))
    answer = saved(reel)
    times, frames = video(shelf.find("a", answer.name))
    assert answer.name == f"0001-last-{round(answer.seconds)}s.mp4"
    assert 3.0 <= answer.seconds <= 4.0
    assert answer.bytes == shelf.list("a")[0].bytes
    assert times == pytest.approx([number / FPS for number in range(len(frames))], abs=1e-4)
    assert len(frames) == answer.seconds * FPS
    assert [number_in(pixels) for pixels in frames] == [n % 64 for n in range(80 - len(frames), 80)]
    assert frames[0].shape == (64, 96, 3)


def test_fewer_seconds_are_cut_at_a_key_frame(reels, shelf):
    reel = reels.recorder("a")
    for index in range(20):
        reel.show(chunk_of(index))
    answer = saved(reel, seconds=0.5)
    assert answer.seconds == 1.0
    assert [number_in(pixels) for pixels in video(shelf.find("a", answer.name))[1]] == [*range(8, 16)]


def test_a_session_goes_on_after_it_was_saved(reels, shelf):
    reel = reels.recorder("a")
    reel.show(chunk_of(0))
    assert saved(reel).seconds == 0.5
    reel.show(chunk_of(1))
    assert saved(reel).seconds == 1.0
    assert len(shelf.list("a")) == 2


def test_sessions_do_not_see_each_other(reels, shelf):
    one, other = reels.recorder("a"), reels.recorder("b")
    for index in range(4):
        one.show(chunk_of(index))
        other.show(chunk_of(index + 7, height=16, width=16))
    assert video(shelf.find("a", saved(one).name))[1][0].shape == (64, 96, 3)
    assert [number_in(pixels) for pixels in video(shelf.find("b", saved(other).name))[1]] == [*range(28, 44)]


def test_a_video_is_what_browsers_play(reels, shelf):
    reel = reels.recorder("a")
    reel.show(chunk_of(0, height=17, width=19))
    path = shelf.find("a", saved(reel).name)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert not stream.codec_context.has_b_frames
        assert stream.start_time == 0
        assert (stream.width, stream.height) == (38, 34)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_what_was_left_out_makes_the_frame_before_it_last():
    kept = Fragments(keep_seconds=10, scale=1)
    for number in (5, 6, 10, 11):
        kept.add(frame_of(number), number, FPS)
    last = kept.last(10)
    assert last.seconds == 7 / FPS
    with av.open(io.BytesIO(mp4_of(last))) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 1 / FPS, 5 / FPS, 6 / FPS], abs=1e-4)


def test_every_fragment_begins_with_a_key_frame():
    kept = Fragments(keep_seconds=3, scale=1)
    for number in range(100):
        kept.add(np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8), number, FPS)
        pictures = kept.last(99).pictures
        assert [picture.number for picture in pictures] == [*range(pictures[0].number, number + 1)]
        assert all(p.key == ((p.number - pictures[0].number) % FPS == 0) for p in pictures)
        assert len(pictures) <= 4 * FPS
    assert len(pictures) >= 3 * FPS


def test_bytes_are_bounded_however_large_frames_are():
    kept = Fragments(keep_seconds=1000, scale=1, most_bytes=40_000)
    for number in range(60):
        kept.add(np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8), number, FPS)
    sizes = [len(picture.data) for picture in kept.last(1000).pictures]
    assert 10_000 < sum(sizes) <= 40_000 + max(sizes)


def test_another_size_begins_anew():
    kept = Fragments(keep_seconds=9, scale=1)
    kept.add(frame_of(0), 0, FPS)
    kept.add(frame_of(1, height=64), 1, FPS)
    assert [(picture.number, picture.key) for picture in kept.last(9).pictures] == [(1, True)]


def test_nothing_can_be_saved_of_nothing(reels, shelf):
    reel = reels.recorder("a")
    with pytest.raises(SavingError) as caught:
        saved(reel)
    assert caught.value.code == "nothing_kept"
    assert reel.save_at_end() is None
    assert shelf.list("a") == []


def test_nobody_waits_for_what_is_written_no_more(reels):
    reel = reels.recorder("a")
    reel.show(chunk_of(0))
    reels._writing.shutdown()  # as at the end of the server, where encoding takes too long
    with pytest.raises(SavingError) as caught:
        saved(reel)
    assert caught.value.code == "session_ended"


def test_the_end_is_saved_and_then_the_reel_is_empty(reels, shelf):
    reel = reels.recorder("a")
    for index in range(3):
        reel.show(chunk_of(index))
    answer = reel.save_at_end()
    reel.close()
    reel.close()
    assert (answer.name, answer.seconds) == ("0001-end.mp4", 1.5)
    reel.show(chunk_of(3))
    with pytest.raises(SavingError) as caught:
        saved(reel)
    assert caught.value.code == "session_ended"


def test_a_video_that_was_asked_for_is_saved_although_the_session_closes(reels, shelf):
    reel = reels.recorder("a")
    reel.show(chunk_of(0))
    future = reel.save(1.0)
    reel.close()
    reels.close()
    assert shelf.find("a", future.result(timeout=0).name) is not None


def test_a_full_shelf_is_a_refusal_and_leaves_the_session_alone(tmp_path):
    reels = Reels(Shelf(tmp_path, 100), keep_seconds=3.0)
    reel = reels.recorder("a")
    reel.show(chunk_of(0))
    with pytest.raises(SavingError) as caught:
        saved(reel)
    assert caught.value.code == "saved_full"
    assert reel.save_at_end() is None
    reel.show(chunk_of(1))
    reels.close()
    assert [*tmp_path.rglob("*.part")] == []


def test_only_so_many_are_saved_at_once(reels):
    reel, gate = reels.recorder("a"), threading.Event()
    reel.show(chunk_of(0))
    reels.encoding.add(lambda: gate.wait(10) and None)
    futures = [reel.save(1.0) for _ in range(MOST_SAVES + 3)]
    gate.set()
    errors = [future.exception(timeout=10) for future in futures]
    assert [error is None for error in errors] == [True] * MOST_SAVES + [False] * 3
    assert errors[-1].code == "too_many_saves"
    assert saved(reel).seconds == 0.5


def test_a_session_whose_frames_cannot_be_encoded_harms_no_other(reels):
    one, other = reels.recorder("a"), reels.recorder("b")
    one.show(chunk_of(0, height=0))
    other.show(chunk_of(0))
    with pytest.raises(SavingError) as caught:
        saved(one)
    assert caught.value.code == "not_saved"
    assert one.save_at_end() is None
    assert saved(other).seconds == 0.5


def test_a_lagging_encoder_leaves_out_the_oldest_frames():
    queue, gate, done, dropped = Backlog("test"), threading.Event(), [], []
    queue.add(lambda: gate.wait(10) and None)
    most = backlog.MOST_FRAMES // 4
    for index in range(most + 8):
        queue.add_chunk(chunk_of(index), lambda chunk: done.append(chunk.chunk), dropped.append)
    end: Future = Future()
    queue.add(lambda: end.set_result(None))
    gate.set()
    end.result(timeout=10)
    queue.close()
    assert len(done) + len(dropped) == most + 8
    assert len(done) <= most + 1
    assert done[-most:] == [*range(8, most + 8)]
    assert set(dropped) == {4}


def test_a_chunk_that_is_larger_than_everything_is_still_taken():
    queue, done = Backlog("test"), []
    for index in range(2):
        queue.add_chunk(chunk_of(index, frames=backlog.MOST_FRAMES + 9), done.append, lambda frames: None)
    queue.close()
    assert done[-1].chunk == 1


def test_threads_end_with_the_reels_and_need_no_work_to_do_so(shelf):
    before = {*threading.enumerate()}
    Reels(shelf, keep_seconds=1.0).close()
    reels = Reels(shelf, keep_seconds=1.0)
    reel = reels.recorder("a")
    reel.show(chunk_of(0))
    saved(reel)
    assert {*threading.enumerate()} > before
    reels.close()
    reels.close()
    assert {*threading.enumerate()} == before
    assert reel.save_at_end() is None


def wait_for(reels):
    """Wait until all is encoded that was shown."""
    done: Future = Future()
    reels.encoding.add(lambda: done.set_result(None))
    done.result(timeout=10)


def test_memory_stays_flat_over_many_frames(reels):
    reel, sizes = reels.recorder("a"), []
    tracemalloc.start()
    try:
        for index in range(2500):
            reel.show(chunk_of(index, height=16, width=16))
            if index % 50 == 49:
                wait_for(reels)
            if index in (499, 2499):
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert reel.dropped == 0
    assert sizes[1] - sizes[0] < 100_000
