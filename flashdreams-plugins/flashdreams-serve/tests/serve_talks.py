"""Conversations with a session, without anything that would carry them."""

from __future__ import annotations

import asyncio
from typing import Any

from flashdreams_serve.host.orders import Opening
from flashdreams_serve.web.conversation import Conversation
from flashdreams_serve.web.mailbox import Mailbox
from flashdreams_serve.web.services import Services


class Talk:
    """A conversation whose messages are kept, with a session of its own."""

    def __init__(self, services: Services) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.session = services.host.open(Opening(seed=1), "10.0.0.1")
        self.mailbox = Mailbox(asyncio.get_running_loop())
        self.session.attach(self.mailbox)
        self.conversation = Conversation(self.session, services, self.sent.put)
        self._services = services

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            return await self.sent.get()

    def end(self) -> None:
        self.conversation.close()
        self.session.detach(self.mailbox)
        self.mailbox.close()
        self._services.host._reception.end(self.session, "closed")
