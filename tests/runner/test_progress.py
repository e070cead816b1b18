import os
import pty
import subprocess
import sys

import pytest

from flashdreams.infra.runner.progress import Pace, duration


def test_pace_counts_whole_chunk_periods_and_leaves_loading_out():
    pace = Pace(fps=16.0, total=10, began=100.0, ready=104.0)
    pace.chunk_made(105.0, 12)
    assert (pace.time_to_first_chunk, pace.frames_per_second, pace.remaining) == (5.0, 0.0, 0.0)
    pace.chunk_final(106.0)
    assert (pace.frames_per_second, pace.real_time_factor, pace.remaining) == (6.0, 0.375, 18.0)
    pace.chunk_made(107.0, 12)
    pace.chunk_final(107.0)
    assert (pace.time_to_first_chunk, pace.frames_per_second, pace.remaining) == (5.0, 8.0, 12.0)
    assert str(pace) == "8.0 frames/s, 0.50x real time, first chunk after 5.0 s, 0:12 left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (-3, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (750, "12:30"), (3723, "1:02:03")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_terminal_gets_a_bar():
    code = (
        "import time\n"
        "from flashdreams.infra.runner.progress import Pace, Progress\n"
        "progress = Progress('toy on cpu', Pace(fps=16, total=3, began=time.monotonic()))\n"
        "progress.begin(); progress.rollout_began()\n"
        "for _ in range(3): progress.chunk_made(12); progress.chunk_final('graph'); time.sleep(0.15)\n"
        "progress.end('36 frames are in v.mp4.')\n"
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    environment.pop("NO_COLOR", None)
    subprocess.run([sys.executable, "-c", code], stderr=child, env=environment, check=True, timeout=60)
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:
            break
    os.close(parent)
    text = shown.decode()
    assert "toy on cpu" in text
    assert "3/3" in text
    assert "x real time" in text
    assert text.rstrip().endswith("36 frames are in v.mp4.")
