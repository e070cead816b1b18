"""Slugs that are measured in tests."""

from dataclasses import dataclass, field
from typing import Any

from flashdreams.infra.runner import Runner, RunnerConfig
from flashdreams.testing.toy import toy_pipeline_config

TOY = RunnerConfig(runner_name="toy", pipeline=toy_pipeline_config(), device="cpu", threads=1)


@dataclass(kw_only=True)
class OwnWayConfig(RunnerConfig):
    """Its runner overrides run()."""

    _target: Any = field(default_factory=lambda: OwnWay)


class OwnWay(Runner):
    """Makes its video in a way of its own."""

    def run(self):
        """Makes none."""


OWN_WAY = OwnWayConfig(runner_name="own-way", pipeline=toy_pipeline_config(), device="cpu", threads=1)
