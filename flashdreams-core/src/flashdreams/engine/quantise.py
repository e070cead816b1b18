"""Linear layers in 8 bits, put in the place of a model's own once its weights are loaded.

Three ways, by name:

- "fp8": weights and, as they come, tokens in float8_e4m3fn, multiplied as they are (``torch._scaled_mm``)
  where the device can do that: on cards from compute capability 8.9, and slowly, for tests, on a CPU. On
  other cards it is "fp8-weights".
- "fp8-weights": weights alone in float8_e4m3fn, widened to the model's dtype whenever they are used.
- "int8-weights": the same with int8.

Every row has a scale of its own: an output channel of a weight, or a token. Only the linear layers of the
transformer's repeated blocks are changed. Embeddings, head, modulation and the encoders of prompts and images
stay as they are: they are small, or run once, and their errors would reach every token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashdreams.core.kernels.quantise_rows import FLOAT8_MAX, quantise_rows
from flashdreams.infra.pipeline.base import StreamInferencePipeline

Quantise = Literal["fp8", "fp8-weights", "int8-weights"]
"""How linear layers are quantised."""

_LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: FLOAT8_MAX}
_MULTIPLE = 16  # what scaled products want both widths of a weight to be multiples of


class WeightOnlyLinear(nn.Module):
    """A linear layer whose weight is kept in 8 bits and widened when it is used.

    What a row of the weight is multiplied by is a number of the model's dtype, so that nothing is lost by
    multiplying what the row gives instead.
    """

    weight: nn.Parameter
    """``[out_features, in_features]``, int8 or float8."""
    scale: Tensor
    """What each row is multiplied by, float32 ``[out_features, 1]``."""
    bias: nn.Parameter | None

    def __init__(self, linear: nn.Linear, kept_in: torch.dtype) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale = _in_8_bits(linear.weight.detach(), kept_in)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``[..., in_features]`` to ``[..., out_features]``."""
        weight, scale = self.weight.to(x.dtype), self.scale.squeeze(-1).to(x.dtype)
        if x.dtype == torch.float16:  # whose largest number, 65504, a sum over rows up to 448 exceeds
            return F.linear(x, weight.mul_(scale.unsqueeze(-1)), self.bias)
        product = F.linear(x, weight)
        return product.mul_(scale) if self.bias is None else torch.addcmul(self.bias, product, scale)

    def extra_repr(self) -> str:
        """Shown when the module is printed."""
        kept_in = str(self.weight.dtype).removeprefix("torch.")
        return f"{self.in_features}, {self.out_features}, {kept_in}, bias={self.bias is not None}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def moved(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self


class ScaledLinear(WeightOnlyLinear):
    """A linear layer that multiplies float8 by float8, where the device can."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear, torch.float8_e4m3fn)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``[..., in_features]`` to ``[..., out_features]``."""
        if not multiplies_float8(x.device):
            return super().forward(x)
        rows, scale = quantise_rows(x.reshape(-1, self.in_features))
        # Cards give products with a scale for each row in bfloat16 alone.
        given = torch.bfloat16 if x.is_cuda else x.dtype
        product = torch._scaled_mm(
            rows,
            self.weight.t(),
            scale,
            self.scale.t(),
            bias=None if self.bias is None else self.bias.to(given),
            out_dtype=given,
            use_fast_accum=x.is_cuda,
        )
        return product.to(x.dtype).view(*x.shape[:-1], self.out_features)


def quantise_pipeline(pipeline: StreamInferencePipeline, how: Quantise) -> list[str]:
    """Quantise the blocks of a pipeline's transformer in place.

    Returns:
        Names of the layers that were changed, as the transformer calls them.
    """
    return quantise_blocks(pipeline.diffusion_model.transformer, how, leave_out=("context_encoder",))


def quantise_blocks(module: nn.Module, how: Quantise, leave_out: tuple[str, ...] = ()) -> list[str]:
    """Put 8-bit layers in the place of the linear layers of repeated blocks.

    Args:
        module: On any device; weights are changed layer by layer, so that never two copies of all are held.
        how: See the module's docstring.
        leave_out: Names of children that stay as they are.

    Returns:
        Names of the layers that were changed.
    """
    names = [name for name in _linears_of_blocks(module) if name.partition(".")[0] not in leave_out]
    for name in names:
        parent, _, child = name.rpartition(".")
        owner = module.get_submodule(parent)
        setattr(owner, child, quantised(getattr(owner, child), how))
    return names


def quantised(linear: nn.Linear, how: Quantise) -> WeightOnlyLinear:
    """The 8-bit layer that stands for a linear layer."""
    if how == "fp8":
        return ScaledLinear(linear)
    return WeightOnlyLinear(linear, torch.int8 if how == "int8-weights" else torch.float8_e4m3fn)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def multiplies_float8(device: torch.device) -> bool:
    """Whether a device multiplies float8 matrices with a scale for each row."""
    if device not in _multiplying:
        _multiplying[device] = _multiplies_float8(device)
    return _multiplying[device]


def _multiplies_float8(device: torch.device) -> bool:
    if device.type != "cuda":
        return device.type in ("cpu", "meta")
    if not torch.cuda.is_available():
        return True  # shapes without a card count as a new one
    return torch.cuda.get_device_capability(device) >= (8, 9)


def _linears_of_blocks(module: nn.Module) -> Iterator[str]:
    """Names of plain linear layers inside of lists of modules, of widths that scaled products take.

    A subclass of the linear layer has reasons of its own, such as weights in float32, and is left out.
    """
    lists = [name for name, part in module.named_modules() if isinstance(part, nn.ModuleList)]
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{each}.") for each in lists)
        if inside and type(part) is nn.Linear and not any(size % _MULTIPLE for size in part.weight.shape):
            yield name


def _in_8_bits(weight: Tensor, kept_in: torch.dtype) -> tuple[Tensor, Tensor]:
    """Rows scaled to the range of a dtype, and their scales, float32 ``[rows, 1]``."""
    largest = _LARGEST[kept_in]
    exact = weight.float()
    scale = (exact.abs().amax(dim=1, keepdim=True) / largest).to(weight.dtype).float()
    scale = scale.clamp_min(torch.finfo(weight.dtype).tiny)
    rows = exact.div_(scale) if exact is not weight else exact / scale
    rows = rows.clamp_(-largest, largest)
    return (rows.round_() if kept_in == torch.int8 else rows).to(kept_in), scale


_multiplying: dict[torch.device, bool] = {}
