"""A short soak in the fast suite; `nox -s soak` runs the same for twenty minutes."""

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parent / "soak" / "run.py"


def test_a_server_survives_clients_that_misbehave_and_ends_in_order():
    done = subprocess.run(
        [sys.executable, str(SOAK), "--minutes", "0.8"], capture_output=True, text=True, timeout=240
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["faults"] == []
    assert done.returncode == 0
    assert report["after"]["sessions"] == report["after"]["slots"] == 0
    assert report["known"]["compared"] > 0
    assert report["end"]["code"] == 0
    assert report["saved"]["frames"] > 0
    assert len(report["codes"]) >= 5, "bad input of many kinds was answered with typed errors"
