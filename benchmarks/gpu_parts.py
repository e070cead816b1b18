"""Kernels and attention on a card: how near they are to what they stand for, and how fast (gpu_checks.py)."""

import math
from functools import partial

import torch

from flashdreams.bench.document import seconds
from flashdreams.bench.rates import sustained
from flashdreams.core.attention import attention, backend_report
from flashdreams.core.attention_backends import BACKENDS
from flashdreams.core.kernels import modulate, norm_rope, pixels, quantise_rows

INEXACT = [backend.name for backend in BACKENDS if not backend.is_exact]
CALLS = 20
"""Calls in a graph that is timed."""


def kernels(device, tokens, heads, head_dim, dtype):
    """Name, kernel and twin of each, on made-up tensors of one transformer's sizes."""
    width, generator = heads * head_dim, torch.Generator().manual_seed(0)

    def draw(*shape, of=dtype):
        return torch.randn(shape, generator=generator).to(device, of)

    x, update = draw(1, tokens, width), draw(1, tokens, width)
    sums = [x.clone() for _ in range(6)]  # overwritten, the kernel's and the twin's
    shift, gain, gate = (draw(width, of=torch.float32) for _ in range(3))
    qkv = tuple(draw(1, tokens, heads, head_dim) for _ in range(3))
    gains = (draw(width), draw(width))
    turns = torch.polar(torch.ones(tokens, head_dim // 2), torch.rand(tokens, head_dim // 2)).to(device)
    rings = [torch.zeros(1, 7 * tokens, heads, head_dim, dtype=dtype, device=device) for _ in range(4)]
    places = torch.arange(tokens, device=device) + tokens
    frames = draw(1, 3, 12, 480, 832) if tokens > 1000 else draw(1, 3, 2, 16, 16)
    out = torch.empty(1, *frames.shape[2:], 3, dtype=torch.uint8, device=device)
    eps = 1e-6
    yield (
        "norm, rotation and write",
        lambda: (norm_rope.norm_rope_write(qkv, *rings[:2], places, turns, gains, eps), *rings[:2]),
        lambda: (
            norm_rope.norm_rope_write_twin(qkv, *rings[2:], places, turns, gains, eps, True),
            *rings[2:],
        ),
    )
    yield (
        "norm and rotation",
        lambda: (norm_rope.norm_rope(qkv[0], turns, gains[0], eps),),
        lambda: (norm_rope.norm_rope_twin(qkv[0], turns, gains[0], eps),),
    )
    yield (
        "modulated norm",
        lambda: (modulate.modulate(x, shift, gain, eps=eps),),
        lambda: (modulate.modulate_twin(x, shift, gain, eps, "layer"),),
    )

    def summed(into, by):
        return modulate.add_modulate_(into, update, by, shift, gain, eps=eps), into

    def summed_by_twin(into, by):
        return modulate.add_modulate_twin_(into, update, by, shift, gain, eps, "layer"), into

    yield (
        "gated sum and modulated norm",
        partial(summed, sums[0], gate),
        partial(summed_by_twin, sums[1], gate),
    )
    yield "sum and modulated norm", partial(summed, sums[2], None), partial(summed_by_twin, sums[3], None)
    yield (
        "gated sum",
        lambda: (modulate.gated_add_(sums[4], update, gate),),
        lambda: (modulate.gated_add_twin_(sums[5], update, gate),),
    )
    yield (
        "pixels to bytes",
        lambda: (pixels.pixels_to_bytes(frames, out),),
        lambda: (pixels.pixels_to_bytes_twin(frames, torch.empty_like(out)),),
    )
    yield (
        "rows to float8",
        lambda: quantise_rows.quantise_rows(x[0]),
        lambda: quantise_rows.quantise_rows_twin(x[0]),
    )


def check_kernels(
    device, backend, checks, *, tokens=4680, heads=12, head_dim=128, dtype=torch.bfloat16, time=0.5
):
    """How near kernels are to their twins, and how fast on the card, timed for so many seconds each."""
    for name, kernel, twin in kernels(device, tokens, heads, head_dim, dtype):
        worst = max(distance(a, b) for a, b in zip(kernel(), twin(), strict=True))
        graphs = (captured(each, backend) for each in (kernel, twin))
        ours, theirs = (sustained(graph, device, time) / CALLS for graph in graphs)
        said = f"off by {worst:.2g} of the largest value; {seconds(ours)}, twin {seconds(theirs)}"
        checks.note(name, worst < 2e-2, f"{said}, {theirs / ours:.2f} times as fast")


def captured(function, backend):
    """Many calls as one graph, as in a run: called one by one, they take what Python takes to launch them."""

    def calls():
        for _ in range(CALLS):
            function()

    backend.run_first(function)
    return backend.capture(calls, pool="kernels").replay


def distance(ours, theirs):
    """The largest difference, as a share of the largest value; infinite where a value is not finite."""
    a, b = ours.float(), theirs.float()
    share = float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))
    return share if math.isfinite(share) else math.inf


def check_attention(device, checks, *, queries=4680, keys=32760, heads=12, head_dim=128, time=0.5):
    """How far each backend is from float32, and how fast, in bfloat16.

    How far one is that is not exact is not judged.
    """
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, length, heads, head_dim, generator=generator).to(device, torch.bfloat16)
        for length in (queries, keys, keys)
    )
    exact = attention(q.float(), k.float(), v.float(), backend="math")
    for backend in backend_report(device, torch.bfloat16, head_dim):
        if backend.unavailable is None and backend.name != "math":
            run = partial(attention, q, k, v, backend=backend.name)
            worst, taken = distance(run(), exact), sustained(run, device, time)
            rate = 4 * q.numel() * keys / taken / 1e12
            said = f"off by {worst:.2g} of the largest value; {seconds(taken)}, {rate:.3g} TFLOP/s"
            passed = worst < (math.inf if backend.name in INEXACT else 2e-2)
            checks.note(f"attention by {backend.name}", passed, f"{said}; {backend.reason}")
