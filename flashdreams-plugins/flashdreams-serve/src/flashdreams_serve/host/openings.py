"""What a session may begin with, checked before anything is computed."""

from __future__ import annotations

import secrets
from dataclasses import replace

from flashdreams.errors import did_you_mean
from flashdreams.infra.runner.steering import is_utf8
from flashdreams_serve.host.card import ModelCard
from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.errors import OpeningError
from flashdreams_serve.host.log_file import read_log
from flashdreams_serve.host.orders import Opening
from flashdreams_serve.settings import Limits

_SEEDS = 2**63
_DRAWN_SEEDS = 2**32


def read_opening(opening: Opening, card: ModelCard, limits: Limits) -> ControlLog:
    """The log with which a session begins: empty, or with the chunks that are made again first.

    Raises:
        OpeningError: The model does not begin with that.
        ControlError: The log cannot be made again.
    """
    if opening.log is not None:
        log = read_log(opening.log, card, most_bytes=limits.log_bytes)
        check_opening(log.opening, card, limits)
        return log
    seed = secrets.randbelow(_DRAWN_SEEDS) if opening.seed is None else opening.seed
    opening = replace(opening, seed=seed)
    check_opening(opening, card, limits)
    return ControlLog(opening, card.steering, limits.log_bytes)


def check_opening(opening: Opening, card: ModelCard, limits: Limits) -> None:
    """Refuse what the model does not begin with.

    Raises:
        OpeningError: With what would be right.
    """
    _check_seed(opening)
    _check_prompt(opening, card, limits)
    _check_start(opening, card)
    _check_image(opening, card)


def _check_seed(opening: Opening) -> None:
    if opening.seed is None or not 0 <= opening.seed < _SEEDS:
        raise OpeningError(
            f"The seed is {opening.seed}.", "It is a whole number from 0 to 2**63 - 1.", "Choose another."
        )


def _check_prompt(opening: Opening, card: ModelCard, limits: Limits) -> None:
    if opening.prompt is None:
        return
    text = card.steering.prompt
    if text is None:
        raise OpeningError("A prompt is given.", "This model takes none.", "Leave it out.")
    if not is_utf8(opening.prompt):
        raise OpeningError(
            "The prompt holds halves of characters.", "It is text that UTF-8 can hold.", "Write another one."
        )
    longest = min(text.longest, limits.prompt_characters)
    if not 0 < len(opening.prompt.strip()) <= len(opening.prompt) <= longest:
        raise OpeningError(
            f"The prompt has {len(opening.prompt)} characters.",
            f"It has 1 to {longest}, not all of them spaces.",
            "Write a shorter one." if len(opening.prompt) > longest else "Write one, or leave it out.",
        )


def _check_start(opening: Opening, card: ModelCard) -> None:
    if opening.start is not None and opening.start not in card.steering.starts:
        shown = opening.start[:60]
        raise OpeningError(
            f"The start is {shown!r}.",
            did_you_mean(shown, card.steering.starts),
            "Choose one that the model has, or leave it out.",
        )


def _check_image(opening: Opening, card: ModelCard) -> None:
    takes, image = card.steering.image or card.steering.needs_image, opening.image
    if image is None and card.steering.needs_image and opening.start is None:
        raise OpeningError(
            "No image is given.", "This model begins with one.", "Upload an image, and begin with it."
        )
    if image is not None and not takes:
        raise OpeningError("An image is given.", "This model takes none.", "Leave it out.")
    if image is not None and image.shape != (card.height, card.width, 3):
        raise OpeningError(
            f"The image has the shape {(*image.shape,)}.",
            f"It has {card.height} x {card.width} pixels (height x width) of 3 colours.",
            "Bring it to the size of the model.",
        )
