"""Promises about memory and length: a rollout may be as long as anyone likes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from flashdreams.infra import state_tree
from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.infra.pipeline.slots import DoubleBuffer, FixedPlaces
from flashdreams.testing.contract import broken
from flashdreams.testing.graph_replay import ChunkWatch
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import Subject

FAR = 1_000_000
"""Index of a chunk far away: with a chunk a second, after eleven days."""
_STEADY = 2
"""Chunks that are looked at once the window is full."""


class MemoryPromises(PipelinePromises):
    """Memory stays where it is and as much as it is, and far chunks are like near ones."""

    def test_memory_does_not_move(self) -> None:
        """Once the window is full, and in the next rollout: a captured graph reads the same addresses."""
        with self.trial() as subject:
            with subject.begin() as rollout:
                _fill(subject, rollout)
                before = list(_tensors_of(rollout))
                subject.go_on(rollout, _left(subject))
                _check_places(before, list(_tensors_of(rollout)), "when the window was full")
            with subject.begin() as rollout:
                _fill(subject, rollout)
                _check_places(before, list(_tensors_of(rollout)), "in the next rollout of its slot")

    def test_memory_does_not_grow(self) -> None:
        """Once the window is full, nothing that a chunk makes outlives it."""
        with self.trial() as subject:
            pipeline, rollout = subject.pipeline, subject.begin()
            _fill(subject, rollout)
            if not _left(subject):
                rollout.close()
                rollout = subject.begin()
            for index in range(rollout.next_index, rollout.next_index + max(1, _left(subject))):
                with ChunkWatch() as watch:
                    chunk = pipeline.generate(index, rollout, input=subject.controls[0])
                    pipeline.finalize(index, rollout)
                del chunk
                if kept := watch.kept():
                    broken(
                        f"After chunk {index}, memory made by {kept[0]} is kept.",
                        "Once the window is full, nothing that a chunk makes outlives it.",
                        "Allocate it once in allocate_cache, and write into it in place.",
                    )

    def test_far_chunks_are_like_near_ones(self) -> None:
        """A million chunks on: positions, times and tables do not run out."""
        with self.trial() as subject:
            subject.needs_chunks(FAR)
            with subject.begin(fresh=True) as rollout:
                _fill(subject, rollout)
                before = list(_tensors_of(rollout))
                rollout.next_index = FAR
                for _ in range(_STEADY):
                    _check_far(subject, rollout)
                _check_places(before, list(_tensors_of(rollout)), f"near chunk {FAR}")


def _fill(subject: Subject, rollout: Rollout) -> None:
    """Make chunks until the window is full, two at least: from then on everything is steady."""
    subject.go_on(rollout, subject.at_most(max(2, subject.full)))


def _left(subject: Subject) -> int:
    """Steady chunks that may be made after that."""
    filled = max(2, subject.full)
    return subject.at_most(filled + _STEADY) - subject.at_most(filled)


def _check_far(subject: Subject, rollout: Rollout) -> None:
    __tracebackhide__ = True
    index = rollout.next_index
    try:
        chunk = subject.step(rollout)
        what = f"Chunk {index} has values that are no numbers." if not torch.isfinite(chunk).all() else ""
    except (IndexError, RuntimeError, OverflowError) as error:
        what = f"Chunk {index} raised {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if what:
        broken(
            what,
            "A rollout has no last chunk.",
            "Compute positions instead of looking them up, modulo what a table holds; or declare "
            "Capabilities(chunks=...).",
        )


def _check_places(before: list[tuple[str, Tensor]], after: list[tuple[str, Tensor]], since: str) -> None:
    """Fail unless the tensors are the same ones; ``before`` holds its own, so that no address comes again."""
    __tracebackhide__ = True
    places = [[(name, t.data_ptr(), t.shape, t.stride()) for name, t in each] for each in (before, after)]
    moved = [now for now in places[1] if now not in places[0]]
    gone = [then for then in places[0] if then not in places[1]]
    if moved or gone:
        name, _, shape, _ = (moved or gone)[0]
        broken(
            f"A tensor {list(shape)} of {name} is not where it was {since}.",
            "Memory is allocated once, and keeps its address and its size.",
            "Write into it in place (copy_, index_copy_, KVCache), and do not put another in its place.",
        )


def _tensors_of(rollout: Rollout) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a rollout's slot, with the name of where it is found."""
    for field in dataclasses.fields(rollout.slot):
        value = getattr(rollout.slot, field.name)
        for name, tree in _parts(field.name, value):
            yield from ((name, tensor) for tensor in state_tree.tensors(tree))


def _parts(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, DoubleBuffer):
        return [(f"the {name}'s state", [value.committed, value.staged])]
    if isinstance(value, FixedPlaces):
        return [(name, value.trees)]
    if name == "transformer":
        fields = dataclasses.fields(value)
        return [(f"the transformer's cache.{f.name}", getattr(value, f.name)) for f in fields]
    return [(name, value)]
