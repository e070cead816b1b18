"""Free and total memory as Linux tells them, from made-up /proc and /sys."""

import sys

import pytest
import torch

from flashdreams.io.memory import (
    binary,
    free_host_memory,
    free_memory,
    resident_memory,
    total_host_memory,
)

MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    9000 kB\n"
KB = 1024


@pytest.fixture
def machine(tmp_path):
    """A root folder with these files."""

    def build(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("DOT", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return build


def test_what_is_available_is_free(machine):
    root = machine(proc__meminfo=MEMINFO)
    assert (free_host_memory(root), total_host_memory(root)) == (9000 * KB, 16000 * KB)


def test_a_control_group_that_is_lower_counts(machine):
    root = machine(
        proc__meminfo=MEMINFO,
        proc__self__cgroup="0::/outer/inner\n",
        sys__fs__cgroup__outer__memoryDOTmax="4000000\n",
        sys__fs__cgroup__outer__memoryDOTcurrent="3000000\n",
        sys__fs__cgroup__outer__memoryDOTstat="anon 5\ninactive_file 500000\n",
        sys__fs__cgroup__outer__inner__memoryDOTmax="max\n",
        sys__fs__cgroup__outer__inner__memoryDOTcurrent="1\n",
    )
    assert (free_host_memory(root), total_host_memory(root)) == (1_500_000, 4_000_000)


def test_a_control_group_that_is_higher_does_not_count(machine):
    root = machine(
        proc__meminfo=MEMINFO,
        proc__self__cgroup="0::/\n",
        sys__fs__cgroup__memoryDOTmax=str(10**12),
        sys__fs__cgroup__memoryDOTcurrent="0",
    )
    assert (free_host_memory(root), total_host_memory(root)) == (9000 * KB, 16000 * KB)


def test_the_older_interface_of_control_groups_is_read(machine):
    root = machine(
        proc__meminfo=MEMINFO,
        proc__self__cgroup="7:cpu:/other\n4:memory:/here\n0::/\n",
        sys__fs__cgroup__memory__here__memoryDOTlimit_in_bytes="2000000",
        sys__fs__cgroup__memory__here__memoryDOTusage_in_bytes="1700000",
        sys__fs__cgroup__memory__here__memoryDOTstat="inactive_file 1\ntotal_inactive_file 200000\n",
    )
    assert free_host_memory(root) == 500_000


def test_a_machine_that_does_not_say_is_not_guessed(tmp_path):
    assert (free_host_memory(tmp_path), total_host_memory(tmp_path)) == (None, None)
    assert resident_memory(tmp_path) is None
    assert free_memory(torch.device("meta")) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_this_machine_has_memory_and_this_process_takes_some():
    free, total, held = free_memory(torch.device("cpu")), total_host_memory(), resident_memory()
    assert 0 < free < total
    before = held
    block = torch.ones(2**24)
    assert resident_memory() - before > 0.9 * block.nbytes


def test_bytes_for_people():
    assert [binary(n) for n in (0, 1536, 48 * 2**20, 5.62 * 2**30)] == [
        "0.0 KiB",
        "1.5 KiB",
        "48.0 MiB",
        "5.62 GiB",
    ]
