import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

HERE = Path(__file__).parent
SLUGS = "toy=runner_toys:TOY,plain=runner_toys:PLAIN"


@pytest.fixture
def toys(monkeypatch):
    """The module of toy runners, its slugs registered in this process."""
    from flashdreams.plugins.registry import installed_registry

    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", SLUGS)
    installed_registry.cache_clear()
    import runner_toys

    yield runner_toys
    installed_registry.cache_clear()


@pytest.fixture(autouse=True)
def signals_of_a_terminal():
    """Signals at their defaults, which a parent such as nohup may have switched off."""
    usual = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
    before = {name: signal.signal(getattr(signal, name), handler) for name, handler in usual.items()}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.fixture
def command(tmp_path):
    """Starts `flashdreams ...` in a process of its own, in a folder of its own, SIGINT at its default."""

    def start(*words, modules=HERE, **options):
        code = (
            "import signal, sys\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from flashdreams.cli.main import main\n"
            "sys.exit(main())\n"
        )
        environment = {
            **os.environ,
            "FLASHDREAMS_RUNNER_CONFIGS": SLUGS,
            "PYTHONPATH": os.pathsep.join([str(HERE), str(modules)]),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    return start


@pytest.fixture
def finished(command):
    """Runs `flashdreams ...` to its end: exit code, stdout, stderr."""

    def run(*words, **options):
        process = command(*words, **options)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    return run


@pytest.fixture
def decode():
    """Every frame of a video file, uint8 [T, H, W, 3]."""

    def frames(path):
        with av.open(str(path)) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    return frames
