"""Cards by name: what their makers' data sheets say of them."""

from __future__ import annotations

from dataclasses import dataclass

from flashdreams.errors import UsageError, did_you_mean

TERA, GIGA = 10**12, 10**9

_TF32_SHARE = 0.5
"""Rate of float32 products on tensor cores (as TF32), as a share of bfloat16's; on all cards listed."""


@dataclass(frozen=True)
class Card:
    """What one device can do at best."""

    name: str
    flops: float
    """Dense products in bfloat16, summed in float32: FLOPs per second."""
    bandwidth: float
    """Memory bandwidth, bytes per second."""
    memory: int
    """Bytes. A data sheet's GB is 10^9 here; the cards have up to 7 % more."""
    source: str
    """Where the figures come from."""
    kind: str = "cuda"
    """Kind of device, as torch names it."""
    measured_dtype: str = ""
    """The dtype that ``flops`` was measured in; empty where it comes from a data sheet."""
    attention: float | None = None
    """FLOPs per second of attention, where that was measured; like ``flops`` where it was not."""
    float8_rate: float = 2.0
    """Rate of float8 products, summed in float32, over bfloat16's; 1 where they are widened instead."""

    def flops_in(self, dtype: str) -> float:
        """FLOPs per second in ``dtype``: half of bfloat16's in float32, unless it was measured."""
        return self.flops * (_TF32_SHARE if dtype == "float32" and not self.measured_dtype else 1.0)

    def seconds(
        self, flops: int, moved: int, dtype: str, float8_flops: int = 0, attention_flops: int = 0
    ) -> float:
        """Least seconds for a pass of ``flops`` that moves ``moved`` bytes (Williams et al. 2009).

        ``float8_flops`` of the FLOPs are products in float8, and ``attention_flops`` attention's.
        """
        rate = self.flops_in(dtype)
        products = (flops - float8_flops - attention_flops) / rate
        in_float8 = float8_flops / (self.flops * self.float8_rate)
        attending = attention_flops / (self.attention or rate)
        return max(products + in_float8 + attending, moved / self.bandwidth)


CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        Card(
            "H100",
            989 * TERA,
            3350 * GIGA,
            80 * GIGA,
            "NVIDIA H100 data sheet, SXM: 989 TFLOPS bf16 dense (1,979 sparse; fp8 twice that), 3.35 TB/s, "
            "80 GB",
        ),
        Card(
            "H200",
            989 * TERA,
            4800 * GIGA,
            141 * GIGA,
            "NVIDIA H200 data sheet, SXM: 989 TFLOPS bf16 dense (1,979 sparse; fp8 twice that), 4.8 TB/s, "
            "141 GB",
        ),
        Card(
            "B200",
            2250 * TERA,
            8000 * GIGA,
            180 * GIGA,
            "NVIDIA DGX B200 data sheet, an eighth of it: 72 PFLOPS fp8 sparse, so 18 bf16 dense; 64 TB/s, "
            "1,440 GB",
        ),
        Card(
            "A100",
            312 * TERA,
            2039 * GIGA,
            80 * GIGA,
            "NVIDIA A100 data sheet, SXM 80 GB: 312 TFLOPS bf16 dense, no fp8, 2,039 GB/s",
            float8_rate=1.0,
        ),
        Card(
            "L40S",
            362 * TERA,
            864 * GIGA,
            48 * GIGA,
            "NVIDIA L40S data sheet: 362 TFLOPS bf16 dense (733 sparse; fp8 twice that), 864 GB/s, 48 GB",
        ),
        Card(
            "RTX 4090",
            165.2 * TERA,
            1008 * GIGA,
            24 * GIGA,
            "NVIDIA Ada GPU architecture whitepaper: 165.2 TFLOPS bf16 dense with float32 sums (fp8 twice "
            "that), 1,008 GB/s, 24 GB",
        ),
        Card(
            "RTX 5090",
            209.5 * TERA,
            1792 * GIGA,
            32 * GIGA,
            "NVIDIA RTX Blackwell GPU architecture whitepaper: 209.5 TFLOPS bf16 dense with float32 sums "
            "(fp8 twice that), 1,792 GB/s, 32 GB",
        ),
    )
}
"""Every card that is known by name, with the figures of its data sheet."""

THIS_CPU = "cpu"
"""Name that stands for the machine itself, whose figures are measured."""


def find_card(name: str) -> Card:
    """The card of that name, in any spelling of case, spaces and dashes.

    Raises:
        UsageError: There is no such card in the table.
    """
    spellings = {_plain(card.name): card for card in CARDS.values()}
    found = spellings.get(_plain(name)) or spellings.get("rtx" + _plain(name))
    if found is None:
        raise UsageError(
            f"There is no card {name!r} in the table.",
            did_you_mean(name, [*CARDS, THIS_CPU]),
            "Name one of: " + ", ".join([*CARDS, THIS_CPU]) + ".",
        )
    return found


def _plain(name: str) -> str:
    return "".join(name.lower().replace("-", " ").replace("_", " ").split())
