"""What a pipeline and its rollouts hold, counted on tensors without values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from flashdreams.infra import state_tree
from flashdreams.infra.pipeline.base import StreamInferencePipeline


@dataclass(frozen=True)
class Weights:
    """One part's weights."""

    part: str
    """Where it is in the pipeline: "transformer", "context.vae", "decoder"."""
    parameters: int
    bytes: int
    transient: bool = False
    """Whether they are released when the conditions are encoded."""


def weights_that_stay(pipeline: StreamInferencePipeline) -> list[Weights]:
    """Weights by part, transient ones left out; what two parts share is counted once."""
    seen: set[int] = set()
    return [_weights(name, tensors, seen) for name, tensors in _parts(pipeline)]


def weights_of(pipeline: StreamInferencePipeline) -> list[Weights]:
    """Weights by part, largest first and transient ones last; what two parts share is counted once."""
    stay = weights_that_stay(pipeline)
    encoder = pipeline.diffusion_model.transformer.context_encoder
    passing = [
        _weights(f"context.{name}", _tensors(module), set(), transient=True)
        for name, module in (encoder.transient() if encoder else {}).items()
    ]
    found = [each for each in (*stay, *passing) if each.bytes]
    return sorted(found, key=lambda each: (each.transient, -each.bytes))


def bytes_of(*trees: object) -> int:
    """Bytes of all tensors in state trees; memory that several share is counted once."""
    storages = {id(s): s for tree in trees for t in state_tree.tensors(tree) for s in [t.untyped_storage()]}
    return sum(storage.nbytes() for storage in storages.values())


def _parts(pipeline: StreamInferencePipeline) -> Iterator[tuple[str, Iterable[Tensor]]]:
    """Name and tensors of each part; those of parts within parts come first."""
    transformer = pipeline.diffusion_model.transformer
    encoder = transformer.context_encoder
    for name, module in encoder.named_children() if encoder else ():
        yield f"context.{name}", _tensors(module)
    named = {"context": encoder, "transformer": transformer, "decoder": pipeline.decoder}
    for name, module in {**named, "encoder": pipeline.encoder, "rest": pipeline}.items():
        if module is not None:
            yield name, _tensors(module)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _weights(name: str, tensors: Iterable[Tensor], seen: set[int], transient: bool = False) -> Weights:
    fresh = {id(t): t for t in tensors if id(t) not in seen}
    seen.update(fresh)
    parameters = sum(t.numel() for t in fresh.values() if isinstance(t, nn.Parameter))
    size = sum(t.numel() * t.element_size() for t in fresh.values())
    return Weights(name, parameters, size, transient)
