"""The engine that a run asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from flashdreams.engine.compile.compiler import Compiler
from flashdreams.engine.compile.execution import CompiledExecution
from flashdreams.engine.engine import Engine
from flashdreams.engine.graphs.choice import graphs_on
from flashdreams.engine.hooks import HookWatch
from flashdreams.engine.hot_swap import HotSwap
from flashdreams.engine.lanes import lanes_on
from flashdreams.engine.lines.execution import StraightLines

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline


def engine_for(
    pipeline: StreamInferencePipeline,
    *,
    compile: bool = False,
    hot_swap: bool = False,
    swap_at: int | Literal["never"] | None = None,
) -> Engine:
    """An engine for a pipeline that lies where it will compute.

    Args:
        pipeline: The pipeline; its transformer's ``use_cuda_graph`` says whether graphs are wanted.
        compile: Whether the transformer's repeated parts are compiled.
        hot_swap: Whether rollouts start at once, and go over to what is fast when it is ready.
        swap_at: The chunk at which they go over, or "never"; None for the first that can.

    Raises:
        DeviceError: Graphs are asked for, and the device has none.
    """
    device = pipeline.device
    wanted = pipeline.diffusion_model.transformer.config.use_cuda_graph
    return Engine(
        lanes_on(device),
        graphs_on(device, wanted),
        _compiled(pipeline, hot_swap, swap_at) if (compile or hot_swap) and swap_at != "never" else None,
        StraightLines() if device.type == "cpu" and wanted == "auto" else None,
        HookWatch(pipeline),
        starts_at_once=hot_swap,
    )


def _compiled(pipeline: StreamInferencePipeline, hot_swap: bool, swap_at: int | None) -> CompiledExecution:
    transformer = pipeline.diffusion_model.transformer
    compiler = Compiler(transformer, waits=not hot_swap, name=pipeline.config.name)
    compiler.attach()
    return CompiledExecution(compiler, HotSwap(compiler, swap_at=swap_at) if hot_swap else None)
