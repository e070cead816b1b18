"""The plugin, held to what the kit asks of every plugin, and to what its parts are for."""

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from flashdreams.cli.main import main
from flashdreams.errors import FieldValueError, UsageError
from flashdreams.infra.config import derive_config
from flashdreams.plugins.registry import installed_registry
from flashdreams.testing import DecoderContract, PipelineContract, PluginContract
from flashdreams.testing.toy import toy_pipeline_config
from flashdreams_scope import contact_sheet
from flashdreams_scope.config import LatentViewConfig
from flashdreams_scope.watch import Watch

TOY_SLUG = """
from flashdreams.infra.runner import RunnerConfig
from flashdreams.testing.toy import toy_pipeline_config

TOY = RunnerConfig(runner_name="toy", pipeline=toy_pipeline_config(), device="cpu")
"""
TOY = derive_config(toy_pipeline_config(), decoder=None)
TOY.decoder = LatentViewConfig(spatial_compression=2)


class TestPlugin(PluginContract):
    distribution = "flashdreams-scope"


class TestLatentView(DecoderContract):
    component = "latent-view"
    latent_channels = 4


class TestToySeenThroughIt(PipelineContract):
    pipeline_config = TOY
    controls = (0.0, 1.0)


def test_latents_of_few_channels_are_refused():
    with pytest.raises(FieldValueError, match="the latents have 2"):
        LatentViewConfig().setup()(torch.zeros(1, 2, 1, 4, 4))


@pytest.fixture
def watched(caplog):
    """What is logged of a video of these chunks, given as (index, pixels)."""

    def report(chunks):
        watch = Watch()
        with toy_pipeline_config().setup().initialize_cache(seed=5) as rollout:
            for index, chunk in chunks:
                watch.measure(rollout, index, chunk)
            watch.report(rollout)
        return [record.getMessage() for record in caplog.records]

    return report


def noise(index):
    return torch.rand(1, 3, 2, 8, 8, generator=torch.Generator().manual_seed(index)) * 2 - 1


def test_a_video_that_moves_is_not_mentioned(watched):
    assert watched((index, noise(index)) for index in range(9)) == []


def test_a_video_that_stands_still_is_told(watched):
    told = "The video (seed 5) stands still (change 0) in its last 4 of 10 chunks."
    assert watched((index, noise(index // 5)) for index in range(10)) == [told]


def test_a_video_of_one_colour_is_told(watched):
    (told,) = watched((index, torch.full((1, 3, 2, 8, 8), 0.1 * index)) for index in range(6))
    assert "is of one colour" in told


def test_a_video_of_no_numbers_is_told(watched):
    (told,) = watched([(0, noise(0)), (1, noise(1) * torch.nan)])
    assert "has pixels that are no numbers" in told


def test_a_chunk_that_is_made_again_counts_once(watched):
    assert watched((index, noise(0)) for index in (0, 0, 0, 0, 0, 0, 1)) == []


@pytest.fixture
def toy_slug(tmp_path, monkeypatch):
    """The config of a slug, ``toy``, that is registered in this process."""
    tmp_path.joinpath("toy_slug.py").write_text(TOY_SLUG)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", "toy=toy_slug:TOY")
    installed_registry.cache_clear()
    yield installed_registry().runner_config("toy")
    installed_registry.cache_clear()


def test_a_sheet_shows_the_last_frame_of_each_chunk(toy_slug, tmp_path):
    assert main(["contact-sheet", "toy", "--chunks", "5", "--output", str(tmp_path / "toy.png")]) == 0
    page = imageio.imread(tmp_path / "toy.png")
    assert page.shape == (2 * 8 + 2, 3 * 8 + 4, 3)
    frames = list(contact_sheet.last_frames(toy_slug.setup(), 5))
    np.testing.assert_array_equal(page[10:, 10:18], frames[4])
    assert (page[10:, 20:] == 16).all()


@pytest.mark.parametrize("line", [["toy", "--chunks", "0"], ["toy", "--output", "sheet.gif"]])
def test_a_line_that_makes_no_sheet_is_refused(line):
    with pytest.raises(UsageError, match=r"A sheet shows at least one chunk, and is a \.png file\."):
        contact_sheet.main(line)
