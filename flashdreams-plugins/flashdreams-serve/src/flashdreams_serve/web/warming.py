"""What is loaded late, loaded early: so that no first frame waits for it."""

from __future__ import annotations

from flashdreams.client.messages import CODECS
from flashdreams_serve.media.encoders import encoder_for

_SIDE = 64


def warm_encoders() -> None:
    """Encode a picture of nothing with every codec. Takes a few tenths of a second; call it in a thread."""
    import numpy as np

    picture = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    for codec in CODECS:
        encoder_for(codec).encode(picture)
