"""The contracts of components, by the kinds of components."""

from __future__ import annotations

from flashdreams.testing.decoder_contract import DecoderContract
from flashdreams.testing.encoder_contract import EncoderContract
from flashdreams.testing.scheduler_contract import SchedulerContract

__all__ = ["DecoderContract", "EncoderContract", "SchedulerContract"]
