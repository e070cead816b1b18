"""The process that compiles, at low priority: ``python -m flashdreams.engine.compile.worker``.

A job comes in on stdin, and what it makes goes into the store. So a run that ends first leaves the next one
its code.
"""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRIORITY = 10
"""How nice the process is: it takes what a serving process leaves."""


@dataclass(frozen=True)
class Job:
    """What to compile, and where."""

    path: list[str]
    """Where modules are imported from."""
    drawing: bytes
    """The module and the template and tensors of a call."""
    form: Any
    """Form of the code."""
    store: str
    """Folder of the store that the code goes to."""
    key: str
    """Key of the code."""
    facts: dict[str, Any]
    """What the store tells people about it."""
    threads: int
    """CPU threads that the code will run with."""
    is_behind: bool
    """Whether it gives way to other processes; False where somebody waits for it."""


def main() -> int:
    """Do the job of stdin."""
    job: Job = pickle.load(sys.stdin.buffer)
    sys.path[:] = job.path
    if job.is_behind and hasattr(os, "nice"):
        os.nice(PRIORITY)
    compile_job(job)
    return 0


def compile_job(job: Job) -> None:
    """Compile in this process, unless the code is in the store by now."""
    import torch

    from flashdreams import environment
    from flashdreams.engine.compile.blueprint import built
    from flashdreams.engine.compile.code import make_code
    from flashdreams.io.artefacts import ArtefactStore

    torch.set_num_threads(job.threads)
    store = ArtefactStore(Path(job.store))
    scratch = environment.exported("TORCHINDUCTOR_CACHE_DIR", str(store.folder / ".inductor"))
    with store.making(job.key, job.facts) as folder, torch.no_grad(), scratch:
        if folder is not None:
            module, template, tensors = built(job.drawing)
            make_code(module, template, tensors, job.form, folder)


if __name__ == "__main__":
    raise SystemExit(main())
