"""Scripted drivers on frames drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from flashdreams.errors import ControlError
from flashdreams_pocket.drivers import DRIVERS, centre_line, driver, road_mask

GRASS, ROAD = (102, 204, 102), (102, 102, 102)


def frame(slope: float = 0.0) -> np.ndarray:
    """A road 20 pixels wide that runs `slope` pixels to the right for every pixel ahead."""
    picture = np.full((64, 64, 3), GRASS, np.uint8)
    for row in range(64):
        middle = round(31.5 + slope * (31.5 - row))
        picture[row, max(0, middle - 10) : max(0, middle + 10)] = ROAD
    return picture


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_controls_are_legal_and_repeatable(name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for picture in (frame(), frame(0.8), frame(-0.8), noise, np.zeros((64, 64, 3), np.uint8)):
        steer, gas, brake = DRIVERS[name](picture)
        assert -1 <= steer <= 1
        assert 0 <= gas <= 1
        assert 0 <= brake <= 1
        assert (steer, gas, brake) == DRIVERS[name](picture)


def test_steers_towards_the_road() -> None:
    steady = driver("steady")
    assert steady(frame(0.5))[0] > 0.2  # positive is right
    assert steady(frame(-0.5))[0] < -0.2
    assert abs(steady(frame())[0]) < 0.05


def test_slows_down_where_the_road_turns() -> None:
    steady = driver("steady")
    assert steady(frame(0.8))[2] > steady(frame())[2]


def test_sees_asphalt_only() -> None:
    picture = frame()
    picture[29:35, 29:35] = (200, 0, 0)
    assert road_mask(picture).sum() == 64 * 20 - 36
    assert np.abs(centre_line(picture)[:, 0]).max() <= 0.5
    assert len(centre_line(np.full((64, 64, 3), GRASS, np.uint8))) == 0


def test_unknown_driver_names_the_known() -> None:
    with pytest.raises(ControlError) as caught:
        driver("stedy")
    assert str(caught.value).splitlines() == [
        "There is no driver 'stedy'.",
        "Did you mean 'steady'?",
        "Set --controls to policy:steady, for instance.",
    ]
