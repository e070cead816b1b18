"""A plan as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flashdreams.cli.console import table
from flashdreams.io.memory import binary

if TYPE_CHECKING:
    from flashdreams.plan.figures import OnCard, Pass, Plan

_PASSES = {
    "context": "context, once",
    "control": "control",
    "step": "denoising step",
    "decode": "decode",
    "finalize": "finalize",
}
_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def plan_text(plan: Plan) -> str:
    """Size, weights, memory, work, cards, and what could not be planned."""
    blocks = [_headline(plan), _weights(plan), _memory(plan), _work(plan)]
    if plan.cards:
        blocks.append(_cards(plan))
    if plan.unplanned:
        blocks.append("\n".join(_unplanned(plan)))
    return "\n\n".join(blocks)


def scaled(count: float) -> str:
    """A number with a prefix of thousands: ``40.4 T``, ``1.42 G``, ``950``."""
    for prefix, size in _PREFIXES:
        if count >= size:
            return f"{count / size:.3g} {prefix}"
    return f"{count:.0f}"


def _headline(plan: Plan) -> str:
    size = plan.size
    videos = f", {size.batch_size} videos" if size.batch_size > 1 else ""
    frames = [f"{size.frames} pixel frame{'s' * (size.frames != 1)}"]
    if size.first_frames not in (0, size.frames):
        frames.insert(0, f"{size.first_frames} first, then")
    return (
        f"{plan.slug}: {size.width} x {size.height} pixels, {size.dtype}{videos}\n"
        f"latent frames: chunk {size.chunk}, window {size.window}; a chunk makes {' '.join(frames)} "
        f"in {size.steps} denoising steps"
    )


def _weights(plan: Plan) -> str:
    rows = [
        (each.part, scaled(each.parameters), binary(each.bytes), "released when encoded" * each.transient)
        for each in plan.weights
        if each.parameters
    ]
    return table(("WEIGHTS", "PARAMETERS", "MEMORY", ""), rows)


def _memory(plan: Plan) -> str:
    memory = plan.memory
    held = (
        ("weights", memory.weights, ""),
        ("KV cache", memory.kv_cache, ""),
        ("context", memory.context, "conditions, and keys and values made of them"),
        ("noise", memory.noise, ""),
        ("states", memory.states, "clean latents, and what streaming encoder and decoder carry along"),
        ("last chunk", memory.pixels, "while the next one is made"),
    )
    rows = [(name, binary(count), note) for name, count, note in held if count]
    rows.append(("held in all", binary(memory.held), ""))
    rows += [(f"+ {name}", binary(count), note) for name, count, note in _taken(plan)]
    rows.append(("most at once", binary(plan.peak), f"in {_PASSES.get(plan.busiest, plan.busiest)}"))
    rows.append(("freed and kept", binary(memory.heap), "small blocks, on a CPU"))
    rows.append(("the process", binary(memory.runtime), "Python and libraries, on this CPU"))
    rows.append(("total", binary(plan.total), "on this CPU"))
    return table(("MEMORY", "BYTES", ""), rows)


def _taken(plan: Plan) -> Iterator[tuple[str, int, str]]:
    """What each pass takes and gives back."""
    for each in plan.passes:
        if each.name == "context" and plan.memory.transient:
            loaded = f"with {binary(plan.memory.transient)} of weights that are released"
            yield _PASSES[each.name], each.activations + plan.memory.transient, loaded
        elif each.activations:
            yield _PASSES[each.name], each.activations, "while it runs"


def _work(plan: Plan) -> str:
    rows = [_pass_row(each) for each in plan.passes if each.full.flops]
    first, full = plan.per_chunk(full=False), plan.per_chunk()
    rows.append(("a chunk", "", scaled(first.flops), scaled(full.flops), binary(full.moved)))
    return table(("WORK", "TIMES", "FLOP, FIRST CHUNK", "FLOP, FULL WINDOW", "BYTES MOVED AT LEAST"), rows)


def _pass_row(each: Pass) -> tuple[str, str, str, str, str]:
    times = f"x {each.times}" if each.times > 1 else ""
    flops = (scaled(each.first.flops), scaled(each.full.flops))
    return (_PASSES[each.name], times, *flops, binary(each.full.moved))


def _cards(plan: Plan) -> str:
    rate = f"REAL TIME AT {plan.size.fps:.4g}"
    header = ("CARD", "MEMORY", "NEEDED", "FITS", "CHUNK AT BEST", "FRAMES/S AT MOST", rate)
    return table(header, [_card_row(each) for each in plan.cards])


def _card_row(each: OnCard) -> tuple[str, ...]:
    fits = "no" if not each.fits else "prompts on the CPU" if each.context_on_host else "yes"
    pace = ("unknown", "unknown", "unknown")
    if each.period is not None and each.fps is not None:
        frames = f"{each.fps:.0f}" if each.fps >= 100 else f"{each.fps:.3g}"
        pace = (_time(each.period), frames, "possible" if each.real_time else "no")
    return (each.card.name, binary(each.card.memory), binary(each.total), fits, *pace)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def _unplanned(plan: Plan) -> Iterator[str]:
    for each in plan.unplanned:
        yield f"not planned: {_PASSES.get(each.part, each.part)}, which needs values: {each.reason}"
