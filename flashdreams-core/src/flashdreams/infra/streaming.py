"""What every component with a state from chunk to chunk has in common."""

from __future__ import annotations

from typing import Any

from flashdreams.errors import InputError


class Streaming:
    """A component whose ``forward(x, state)`` returns its result and the state after it.

    ``state`` is None at the first chunk, unless :meth:`initialize_state` gives another; later it is what
    the last final chunk returned, on the pipeline's device: a tensor, or a (nested) dict, list, tuple or
    dataclass of tensors and plain values. It must be left unchanged, since a chunk can be generated again
    until it is finalized. Its structure and shapes stay the same from one chunk to the next.
    """

    def initialize_state(self, **context: Any) -> Any:
        """State of a rollout before its first chunk, from the context given when it begins.

        Raises:
            InputError: A context was given; components that take one override this method.
        """
        if context:
            raise InputError(
                f"{type(self).__name__} was given the context {', '.join(context)}.",
                "It takes none.",
                "Leave it out when the rollout begins.",
            )
        return None
