"""A client of ``flashdreams serve``: steer a dream from Python, and take its frames.

Plain and for ``await``::

    with Client("http://127.0.0.1:8000") as client, client.open(seed=1, codec="png") as session:
        session.set(steer=-0.5)
        for frame in session.frames(limit=100):
            show(frame.pixels)

It needs the extra ``client`` of flashdreams-core, and imports no torch.
"""

from __future__ import annotations

from flashdreams.client.aio import AsyncClient
from flashdreams.client.messages import Codec, Frame, Receipt, Refusal, SavedVideo, Standing
from flashdreams.client.plain import Client, Session
from flashdreams.client.session import AsyncSession

__all__ = [
    "AsyncClient",
    "AsyncSession",
    "Client",
    "Codec",
    "Frame",
    "Receipt",
    "Refusal",
    "SavedVideo",
    "Session",
    "Standing",
]
