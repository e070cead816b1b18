"""Which modules of a transformer are compiled."""

from __future__ import annotations

from torch import nn

WHOLE = 100_000_000
"""Parameters up to which a network is compiled as a whole, what surrounds its blocks included.

In a small network what surrounds the blocks takes a good part of the time: ``pocket-racer``'s takes 0.8 of
4.4 ms. Compiling its 6 blocks at once takes as long as compiling one, 20 s; large networks have more of them,
and spend their time within.
"""


def regions_of(transformer: nn.Module) -> list[nn.Module]:
    """The modules to compile: each network with repeated blocks if it is small, else each of its blocks.

    Blocks repeat where a ``ModuleList`` holds two or more of one class. What encodes conditions once a
    rollout is left alone.
    """
    networks = [part for name, part in transformer.named_modules() if _counts(name) and _blocks(part)]
    regions: list[nn.Module] = []
    for network in networks:
        if network is not transformer and _size(network) <= WHOLE:
            regions.append(network)
        else:
            regions += _blocks(network)
    return regions


def _counts(name: str) -> bool:
    return name.partition(".")[0] != "context_encoder"


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Blocks of a network's own lists."""
    lists = [child for child in network.children() if isinstance(child, nn.ModuleList)]
    return [block for blocks in lists if _repeats(blocks) for block in blocks]


def _repeats(blocks: nn.ModuleList) -> bool:
    return len(blocks) > 1 and len({type(block) for block in blocks}) == 1


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
