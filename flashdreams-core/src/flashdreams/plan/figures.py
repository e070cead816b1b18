"""The figures of a plan. Memory in bytes, work in FLOPs (a multiplication is one, an addition another)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from flashdreams.plan.cards import Card
from flashdreams.plan.held import Weights

PassName = Literal["context", "control", "step", "decode", "finalize"]
"""What a rollout runs: conditions encoded once; and for each chunk its control encoded, denoising steps, the
pixels decoded, and keys and values of the clean chunk written."""

CUDA_RUNTIME = 700 * 2**20
"""An estimate of what a CUDA context, its libraries' workspaces and the gaps between allocations take beside
the tensors. It was not measured: it depends on the driver and the card."""


@dataclass(frozen=True)
class Size:
    """What the figures are for."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    batch_size: int
    dtype: str
    chunk: int
    """Latent frames of one chunk."""
    window: int
    """Latent frames that attention sees."""
    steps: int
    """Denoising steps of one chunk."""
    first_frames: int
    """Pixel frames of the first chunk; 0 where that is not known."""
    frames: int
    """Pixel frames of a later chunk, or of the only one; 0 where that is not known."""
    fps: float
    """Pixel frames per second of the video."""


@dataclass(frozen=True)
class Work:
    """What one pass takes."""

    flops: int
    moved: int
    """Fewest bytes that pass between memory and processor: weights once, keys and values read and written,
    latents, states, pixels."""
    float8_flops: int = 0
    """Of the FLOPs, those of products in float8."""
    attention_flops: int = 0
    """Of the FLOPs, those of attention."""


@dataclass(frozen=True)
class Pass:
    """One kind of pass."""

    name: PassName
    times: int
    """How often it runs for each chunk; 0 for what runs once per rollout."""
    first: Work
    """For the first chunk, which sees nothing but itself."""
    full: Work
    """For a chunk that sees a full window."""
    activations: int
    """Bytes that it takes while it runs, and gives back."""
    peak: int
    """Most bytes in use while it runs: activations, and all that is held at the time."""


@dataclass(frozen=True)
class Memory:
    """What stays in memory while a rollout is alive, in bytes, and what is taken for a while."""

    weights: int
    """Of all parts that stay."""
    kv_cache: int
    """Keys and values of past chunks."""
    context: int
    """What else the transformer remembers: conditions, keys and values of the prompt."""
    noise: int
    """The draws of one chunk."""
    states: int
    """The chunk's clean latents, and of streaming decoder and encoder what the next chunk starts from and
    what it would leave behind."""
    pixels: int
    """The last chunk, which whoever shows it still holds while the next one is made."""
    transient: int
    """Largest of the weights that are loaded to encode conditions and released."""
    heap: int
    """On a CPU: blocks that were freed and stay with the process, as much as small ones were ever in use."""
    runtime: int
    """The process itself on this machine's CPU, with Python and libraries."""

    @property
    def held(self) -> int:
        """All that stays between two chunks."""
        return self.weights + self.kv_cache + self.context + self.noise + self.states + self.pixels


@dataclass(frozen=True)
class Unplanned:
    """A pass that could not be run without values."""

    part: str
    reason: str


@dataclass(frozen=True)
class OnCard:
    """What a card makes of it."""

    card: Card
    total: int
    """Most bytes in use, runtime included."""
    fits: bool
    """Whether the card has as much memory."""
    context_on_host: bool
    """Whether conditions have to be encoded in host memory, since the card has no room for that."""
    first_period: float | None
    """Least seconds for the first chunk; None where a pass could not be planned."""
    period: float | None
    """Least seconds for a chunk with a full window."""
    fps: float | None
    """Most pixel frames per second, with a full window."""
    real_time: bool | None
    """Whether that is as fast as the video."""


@dataclass(frozen=True)
class Plan:
    """What a slug needs."""

    slug: str
    size: Size
    weights: list[Weights]
    memory: Memory
    passes: list[Pass]
    unplanned: list[Unplanned] = field(default_factory=list)
    cards: list[OnCard] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """Most bytes in use at once, without the process itself."""
        return max([self.memory.held, *(each.peak for each in self.passes)])

    @property
    def chunk_peak(self) -> int:
        """Like :attr:`peak`, conditions encoded elsewhere."""
        return max([self.memory.held, *(each.peak for each in self.passes if each.name != "context")])

    @property
    def total(self) -> int:
        """Most bytes in use at once on this machine's CPU, the process included."""
        return self.peak + self.memory.heap + self.memory.runtime

    @property
    def busiest(self) -> str:
        """The pass that needs the most memory."""
        found = self.busiest_on("cpu")
        return "none" if found is None else found.name

    def busiest_on(self, kind: str) -> Pass | None:
        """The pass that needs the most memory. Beside a GPU, conditions can be encoded in host memory."""
        here = [each for each in self.passes if kind == "cpu" or each.name != "context"]
        return max(here, key=lambda each: each.peak, default=None)

    def needed_on(self, kind: str) -> int:
        """Bytes that a run allocates on a kind of device, beside what the process has there already."""
        return self.peak + self.memory.heap if kind == "cpu" else self.chunk_peak

    def per_chunk(self, full: bool = True) -> Work:
        """Work of one chunk, with a full window or of the first."""
        works = [(each.times, each.full if full else each.first) for each in self.passes]
        return Work(
            sum(times * work.flops for times, work in works),
            sum(times * work.moved for times, work in works),
            sum(times * work.float8_flops for times, work in works),
            sum(times * work.attention_flops for times, work in works),
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        totals = {"peak": self.peak, "total": self.total, "held": self.memory.held, "busiest": self.busiest}
        chunk = {"first": asdict(self.per_chunk(full=False)), "full": asdict(self.per_chunk())}
        tree = asdict(self)
        tree["memory"] |= totals
        return {**tree, "chunk": chunk}
