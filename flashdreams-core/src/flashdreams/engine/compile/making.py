"""Making code in another process, so that the serving thread never waits for Python's lock."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from flashdreams.engine.compile import blueprint
from flashdreams.engine.compile.call import Call
from flashdreams.engine.compile.code import Code, form_for
from flashdreams.engine.compile.worker import Job
from flashdreams.io.artefacts import ArtefactStore

LOG = logging.getLogger(__name__)
WORKER = "flashdreams.engine.compile.worker"
TAIL = 2000
"""Characters of a failed worker's stderr that are told."""


class CompileError(Exception):
    """The worker could not compile; the text is the end of what it said."""


class Order:
    """Code that was asked for: everything the worker needs, taken down when the module was called.

    Args:
        key: Key of the code.
        module: What is compiled.
        call: The call that it is compiled for.
        facts: What the store tells people about it.
        is_behind: Whether the worker gives way to other processes.
    """

    def __init__(
        self, key: str, module: nn.Module, call: Call, facts: dict[str, Any], *, is_behind: bool
    ) -> None:
        self.key, self.facts, self._is_behind = key, facts, is_behind
        self._drawing = blueprint.drawn((module, call.template(), call.tensors))
        self._form = form_for(facts["device"])
        self._threads = torch.get_num_threads()
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    def make(self, store: ArtefactStore) -> Path:
        """Have it made unless it is in the store already, and wait; says where it is.

        Raises:
            CompileError: It cannot be made.
        """
        made = store.find(self.key)
        if made is None:
            self._run(self._job(store))
            made = store.find(self.key)
        if made is None:
            raise CompileError(f"{store.folder / self.key} is not there although it was made")
        return made

    def cancel(self) -> None:
        """End the worker where it runs, and begin none."""
        self._cancelled = True
        if self._process is not None:
            self._process.terminate()

    def _job(self, store: ArtefactStore) -> Job:
        return Job(
            path=list(sys.path),
            drawing=self._drawing,
            form=self._form,
            store=str(store.folder),
            key=self.key,
            facts=self.facts,
            threads=self._threads,
            is_behind=self._is_behind,
        )

    def _run(self, job: Job) -> None:
        if self._cancelled:
            raise CompileError("it was cancelled")
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", WORKER]
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe)
            _, said = self._process.communicate(pickle.dumps(job))
        except OSError as error:
            raise CompileError(str(error)) from error
        if self._process.returncode != 0:
            raise CompileError(said.decode(errors="replace").strip()[-TAIL:] or "it was ended")


@dataclass(eq=False)
class Entry:
    """Code for modules alike that are called alike: asked for, made, loaded, or impossible."""

    key: str
    title: str
    """What is compiled and how it is called, for people."""
    order: Order | None = None
    made: Path | None = None
    code: Code | None = None
    failure: str | None = None

    def __str__(self) -> str:
        state = "not compiled" if self.failure else "being compiled" if self.made is None else "compiled"
        return f"{self.title}: {state}"

    @property
    def is_pending(self) -> bool:
        """Whether it is still being made."""
        return self.made is None and self.failure is None


class Maker:
    """Has code made, one order after the other, while the caller goes on."""

    seconds: float
    """Seconds that it took so far."""

    def __init__(self, store: ArtefactStore) -> None:
        self.seconds = 0.0
        self._store = store
        self._waiting: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def ask(self, entry: Entry) -> None:
        """Have the entry's order made."""
        with self._changed:
            self._waiting.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="compile", daemon=True)
                self._thread.start()

    def wait(self, entries: Iterable[Entry]) -> None:
        """Wait until all of these were made or failed."""
        entries = list(entries)
        with self._changed:
            self._changed.wait_for(lambda: not any(entry.is_pending for entry in entries))

    def close(self) -> None:
        """End what is being made, and what waits for it."""
        with self._changed:
            self._is_closed = True
            for entry in self._waiting:
                if entry.order is not None:
                    entry.order.cancel()

    def _work(self) -> None:
        """One order after the other; this thread does nothing but wait for the worker."""
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    return
                entry = self._waiting[0]
            began = time.perf_counter()
            made, failure = self._made(entry)
            with self._changed:
                self.seconds += time.perf_counter() - began
                entry.made, entry.failure, entry.order = made, failure, None
                self._waiting.popleft()
                self._changed.notify_all()

    def _made(self, entry: Entry) -> tuple[Path | None, str | None]:
        try:
            return entry.order.make(self._store) if entry.order else None, None
        except CompileError as error:
            if not self._is_closed:
                LOG.warning(_REMEDIES, str(error).rpartition("\n")[2])
                LOG.debug("%s", error)
            return None, str(error)
        except Exception as error:  # whoever waits for it would wait for ever
            LOG.exception("Compiling broke off, and the model runs eagerly.")
            return None, str(error)


_REMEDIES = """Compiling failed, and the model runs eagerly: %s
What may help:
  1. If a compiler is missing, install one: g++ for a CPU.
  2. If the cache folder is full or read-only, make room, or set FLASHDREAMS_CACHE to another.
  3. See all that the compiler said: -vv.
  4. Run without compiling: leave out --compile and --hot-swap."""
