"""What the promises of a pipeline have in common: which pipeline is meant, and how it is built."""

from __future__ import annotations

import unittest
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from torch import Tensor

from flashdreams.engine.cpu_layout import lay_out_for_cpu
from flashdreams.errors import BrokenPromiseError, FlashDreamsError
from flashdreams.infra.config import derive_config
from flashdreams.infra.device import cpu_threads
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.infra.runner.steerable import Steerable
from flashdreams.io.fetching import fetching_for
from flashdreams.plugins.blame import FAILURES, one_line
from flashdreams.plugins.registry import installed_registry
from flashdreams.testing.contract import Contract, broken, skip
from flashdreams.testing.promises.subject import Subject

_SLOTS = 3
"""Rollouts that some checks have alive at once."""

_BUILT: dict[type, Subject] = {}
"""The pipeline under test, by its contract: one at a time, since a pipeline may be large."""
_NOT_BUILT: set[type] = set()
"""Contracts whose pipeline could not be built: trying again for each check would tell nothing new."""


class PipelinePromises(Contract):
    """Names a pipeline. Checks ask for it with ``with self.trial() as subject``."""

    slug: ClassVar[str] = ""
    """An installed slug: pipeline, conditions, controls and capabilities are its runner's."""
    overrides: ClassVar[Mapping[str, Any]] = {}
    """Changes to the pipeline's config, as ``derive_config`` takes them: a smaller window saves time."""
    pipeline_config: ClassVar[StreamInferencePipelineConfig | None] = None
    """Where there is no slug: the pipeline. :meth:`make_config` may make it instead."""
    controls: ClassVar[Sequence[Any]] = ()
    """Inputs of ``generate`` that steer apart, two or more; the runner's ``control_examples`` where empty."""
    capabilities: ClassVar[Capabilities | None] = None
    """What the videos depend on; the runner's where None."""
    device: ClassVar[str] = "cpu"
    """Where the pipeline is built. Some checks need the CPU, and are skipped elsewhere."""

    threads: ClassVar[int | None] = None
    """CPU threads to compute with; the runner's where None."""

    def make_config(self) -> StreamInferencePipelineConfig:
        """The pipeline's config, before ``overrides``."""
        if self.slug:
            return self._runner().config.effective_pipeline
        if self.pipeline_config is None:
            name = type(self).__name__
            broken(
                f"{name} names no pipeline.",
                "A contract of a pipeline names an installed slug, or the pipeline's config.",
                f'Write slug = "my-model" in {name}, or pipeline_config = ..., or override make_config().',
            )
        return self.pipeline_config

    def conditions(self) -> dict[str, Any]:
        """Arguments of ``initialize_cache`` for one video, the seed left out."""
        return self._runner().conditions() if self.slug else {}

    def batch_conditions(self) -> dict[str, Any]:
        """The same for two videos side by side: one prompt is given to both, and so is one first frame."""
        return {"batch_size": 2, **{name: _twice(value) for name, value in self.conditions().items()}}

    def steerable(self) -> Steerable | None:
        """Who says how people steer: the slug's runner; None where there is no slug."""
        return self._runner() if self.slug else None

    def test_it_can_be_built(self) -> None:
        """From its config, with what a rollout begins with."""
        with self.trial():
            pass

    @contextmanager
    def trial(self) -> Iterator[Subject]:
        """The pipeline under test, built for the first check and thrown away if one breaks it."""
        subject = self._subject()
        try:
            with cpu_threads(subject.threads):
                yield subject
        except unittest.SkipTest:
            raise
        except BaseException:
            _BUILT.clear()
            raise
        finally:
            subject.close()

    def _subject(self) -> Subject:
        if type(self) in _NOT_BUILT:
            skip("It cannot be built: the first check says why.")
        if type(self) not in _BUILT:
            _BUILT.clear()
            _BUILT[type(self)] = self._built()
        return _BUILT[type(self)]

    def _built(self) -> Subject:
        try:
            return self._build()
        except (FlashDreamsError, unittest.SkipTest):
            _NOT_BUILT.add(type(self))
            raise
        except FAILURES as error:
            _NOT_BUILT.add(type(self))
            raise BrokenPromiseError(
                f"The pipeline cannot be built: {one_line(error)}",
                "config.setup() builds it, and the runner's conditions() say what a rollout begins with.",
                "Correct what the traceback names: flashdreams.load(SLUG) shows it too.",
            ) from error

    def _build(self) -> Subject:
        runner = self._runner() if self.slug else None
        config = derive_config(self.make_config(), **self.overrides)
        config.slots = max(config.slots, _SLOTS)
        with fetching_for(self.slug or config.name):
            pipeline = config.setup(device=self.device)
        if self.device == "cpu":
            lay_out_for_cpu(pipeline)
        controls = self.controls or (runner.control_examples() if runner else ())
        return Subject(
            pipeline=pipeline,
            conditions=self.conditions(),
            batch_conditions=self.batch_conditions(),
            controls=tuple(controls) or (None,),
            capabilities=self.capabilities or (runner.capabilities if runner else Capabilities()),
            threads=self.threads or (runner.config.threads if runner else None),
        )

    def _runner(self) -> Runner:
        config = installed_registry().runner_config(self.slug)
        config.device = self.device
        return config.setup()


def _twice(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        return value * 2
    if isinstance(value, Tensor) and value.dim() and len(value) == 1:
        return value.repeat(2, *([1] * (value.dim() - 1)))
    return value
