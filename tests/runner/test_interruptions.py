import re
import signal
import subprocess
import sys
import threading
import time

import av
import numpy as np
import pytest
import yaml

from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.interrupts import Interrupts, Stopped
from flashdreams.io.mp4 import count_frames

LONG = ("--total-blocks", "100000", "--pause", "0.01", "--threads", "1")


def wait_for(process, text):
    """Read the stderr of a process up to the line with `text`."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


@pytest.mark.parametrize(
    ("number", "code", "cause"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_a_signal_leaves_a_playable_file_and_says_so(command, tmp_path, decode, number, code, cause):
    process = command("run", "toy", "--output", "v.mp4", *LONG)
    wait_for(process, "chunk 1 of 100000")
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    said = re.fullmatch(rf"Stopped by {cause}: (\d+) frames are in v\.mp4\.\n", err)
    assert said, err
    frames = decode(tmp_path / "v.mp4")
    assert len(frames) == int(said[1]) > 4
    assert len(np.unique(frames.reshape(len(frames), -1), axis=0)) > 4
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert container.streams.video[0].frames == len(frames)  # finished: an ordinary file with one index
    made = yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())["made"]
    assert (made["finished"], made["frames"], made["stopped_by"]) == (False, len(frames), cause)


def test_a_kill_leaves_a_playable_file_and_its_record(command, tmp_path, decode):
    process = command("run", "toy", "--output", "v.mp4", *LONG)
    deadline = time.monotonic() + 60
    while count_frames(tmp_path / "v.mp4") < 32 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(decode(tmp_path / "v.mp4")) >= 32
    assert yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())["made"] == {
        "output": "v.mp4",
        "finished": False,
    }


WATCHER = """
import time
from flashdreams.plugins.hookspecs import hookimpl

@hookimpl
def flashdreams_chunk_generated(rollout, index, chunk):
    if index == 2:
        print("watching", flush=True)
        time.sleep(60)
"""


def test_sigterm_while_an_observer_runs_stops_the_run_and_blames_nobody(command, tmp_path, decode):
    info = tmp_path / "watcher-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watcher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[flashdreams.plugins]\nwatcher = slow_watcher\n")
    (tmp_path / "slow_watcher.py").write_text(WATCHER)
    process = command("run", "toy", "--output", "v.mp4", "--progress", "off", modules=tmp_path)
    assert process.stdout.readline() == "watching\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "Stopped by SIGTERM: 4 frames are in v.mp4.\n")
    assert len(decode(tmp_path / "v.mp4")) == 4
    made = yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())["made"]
    assert (made["finished"], made["stopped_by"]) == (False, "SIGTERM")


def test_ctrl_c_before_the_first_chunk(command, tmp_path):
    process = command("run", "toy", "--output", "v.mp4", "--pause", "60")
    wait_for(process, "toy on cpu: loading")
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "Stopped by Ctrl-C: nothing was made.\n")
    assert list(tmp_path.iterdir()) == []


def raised(number):
    """Send a signal to this process, and let Python see it."""
    signal.raise_signal(number)
    time.sleep(0)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stopped)])
def test_a_held_signal_waits(number, error):
    done = []

    def work(interrupts):
        with interrupts.held():
            raised(number)
            with interrupts.held():
                done.append("inner")
            done.append("outer")
        done.append("never")

    with Interrupts() as interrupts, pytest.raises(error) as caught:
        work(interrupts)
    assert done == ["inner", "outer"]
    if error is Stopped:
        assert (caught.value.code, caught.value.signal_name) == (143, "SIGTERM")


def test_one_ctrl_c_that_arrives_twice_is_one():
    def interrupt_twice(interrupts):
        with interrupts.held():
            raised(signal.SIGINT)
            raised(signal.SIGINT)

    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            interrupt_twice(interrupts)
        raised(signal.SIGINT)
        with interrupts.held():
            raised(signal.SIGTERM)


def test_handlers_are_put_back_and_ignored_signals_stay_ignored():
    ours = signal.getsignal(signal.SIGINT)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) != ours
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
            raised(signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) == ours
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_ctrl_c_ends_the_process_at_once():
    code = (
        "import signal, time\n"
        "from flashdreams.infra.runner.interrupts import Interrupts\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with Interrupts() as interrupts, interrupts.held():\n"
        "    print('held', flush=True)\n"
        "    deadline = time.monotonic() + 60\n"
        "    while time.monotonic() < deadline: time.sleep(0.05)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.8)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGINT
    process.stdout.close()


def test_outside_the_main_thread_signals_are_left_alone(toys, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    seen = []

    class Looking(toys.ToyRunner):
        def control(self, index, last_chunk):
            seen.append(signal.getsignal(signal.SIGINT))
            return 0.0

    config = derive_config(toys.TOY, output=tmp_path / "v.mp4", progress="off", total_blocks=1)
    thread = threading.Thread(target=Looking(config).run)
    thread.start()
    thread.join()
    assert seen == [before]
    assert count_frames(tmp_path / "v.mp4") == 2
