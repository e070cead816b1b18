"""What a host dreams is what its videos show."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np

from flashdreams.io.pixels import enlarge
from flashdreams.plugins.registry import installed_registry
from flashdreams_serve.host.events import Event, ShownChunk
from flashdreams_serve.host.host import Host
from flashdreams_serve.host.orders import Close, GiveLog, Opening, Pause, Save
from flashdreams_serve.media.reel import Reels
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.settings import ServeSettings


class Watcher:
    """An outlet that remembers what it was shown."""

    def __init__(self, wanted: int) -> None:
        self.frames: dict[int, Any] = {}
        self.enough = threading.Event()
        self._wanted = wanted

    def show(self, chunk: ShownChunk) -> None:
        self.frames |= {chunk.first_frame + index: frame for index, frame in enumerate(chunk.frames)}
        if len(self.frames) >= self._wanted:
            self.enough.set()

    def drop(self, before_epoch: int) -> None: ...

    def tell(self, event: Event) -> None: ...


def test_a_saved_video_shows_what_was_dreamt(tmp_path: Path) -> None:
    config = installed_registry().runner_config("pocket-racer")
    shelf = Shelf(tmp_path, 10**8)
    reels = Reels(shelf, keep_seconds=30.0, scale=config.scale)
    host = Host(config, ServeSettings(), recorder=reels.recorder)
    host.start()
    try:
        assert host.wait_ready(60)
        session, watcher = host.open(Opening(seed=1), "test"), Watcher(wanted=24)
        session.attach(watcher)
        assert watcher.enough.wait(30)
        session.order(Pause()).result(10)
        answer = session.order(Save(30.0)).result(10)
        given = session.order(GiveLog()).result(10)
        session.order(Close()).result(10)
    finally:
        host.stop()
        reels.close()
    video = shelf.find(session.id, answer["video"])
    assert json.loads(video.with_suffix(".json").read_text("utf-8")) == given["log"]
    with av.open(str(video)) as container:
        saved = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    shown = [enlarge(watcher.frames[number], config.scale) for number in sorted(watcher.frames)]
    assert len(saved) == len(shown) == round(answer["seconds"] * config.fps)
    for picture, frame in zip(saved, shown, strict=True):
        assert np.abs(picture.mean(-1) - frame.mean(-1)).mean() < 3
