"""The contract of a pipeline: everything that the framework relies on, a check each."""

from __future__ import annotations

from flashdreams.testing.promises.batches import BatchPromises
from flashdreams.testing.promises.chance import SeedPromises
from flashdreams.testing.promises.copies import CopyPromises
from flashdreams.testing.promises.decoding import DecodingPromises
from flashdreams.testing.promises.dependence import DependencePromises
from flashdreams.testing.promises.engine import EnginePromises
from flashdreams.testing.promises.frames import FramePromises
from flashdreams.testing.promises.memory import MemoryPromises
from flashdreams.testing.promises.modules import ModulePromises
from flashdreams.testing.promises.rollouts import RolloutPromises
from flashdreams.testing.promises.steering import SteeringPromises
from flashdreams.testing.promises.steps import StepPromises
from flashdreams.testing.promises.together import TogetherPromises

__all__ = ["PipelineContract"]


class PipelineContract(
    SteeringPromises,
    TogetherPromises,
    EnginePromises,
    MemoryPromises,
    DecodingPromises,
    CopyPromises,
    StepPromises,
    RolloutPromises,
    BatchPromises,
    DependencePromises,
    SeedPromises,
    ModulePromises,
    FramePromises,
):
    """Holds a pipeline to what the framework promises its users, on small rollouts of the pipeline itself.

    ::

        class TestMyModel(PipelineContract):
            slug = "my-model"

    Conditions, controls and capabilities come from the slug's runner. Without a slug, set ``pipeline_config``
    (or override ``make_config``), ``controls`` and ``capabilities``, and override ``conditions`` and, where
    people steer, ``steerable``.

    The checks of the last base come first. They are in an order in which the first that fails names the
    fault: what a chunk is, then what modules keep, then noise, and only then what relies on all of these.
    """
