"""pocket-racer from the command line: its help, its mistakes, and a run made again from its record."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from flashdreams.cli.flag_tree import flag_tree
from flashdreams.cli.main import main
from flashdreams_pocket import shipped
from flashdreams_pocket.config import POCKET_RACER

RUN = ("run", "pocket-racer")
SHORT = ("--device", "cpu", "--progress", "off", "--total-blocks")
TRANSFORMER = "--pipeline.diffusion-model.transformer"
SCHEDULER = "--pipeline.diffusion-model.scheduler"
UNDECODED = ("--pipeline.decoder", "None", "--pipeline.height", "8", "--pipeline.width", "8")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Runs a command in this process, in an empty folder."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> Outcome:
        code = main(argv)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_help_shows_every_field_and_imports_neither_torch_nor_numpy():
    program = (
        "import sys\n"
        "from flashdreams.cli.main import main\n"
        "code = main(['run', 'pocket-racer', '--help'])\n"
        "print(code, sorted({'torch', 'numpy'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines()[-1] == "0 []"
    text = " ".join(re.sub("[│╭╰╮╯─]", " ", ran.stdout).split())
    flags = [flag for flag in flag_tree(POCKET_RACER).all_flags() if not flag.is_part]
    assert len(flags) > 30
    for flag in flags:
        doc = " ".join(flag.info.doc.split())
        assert doc
        assert re.search(f"{re.escape(flag.text)} .{{1,60}}?{re.escape(doc)}", text), flag.text


# --- what is refused, with nothing built and nothing written


def write_inputs(folder: Path) -> None:
    """Files that cannot be used, each in its own way."""
    np.savez(folder / "wide.npz", controls=np.zeros((5, 2)))
    (folder / "broken.npz").write_bytes(b"PK\3\4" + bytes(60))
    (folder / "two.csv").write_text("steer,gas\n0,1\n")
    (folder / "no.png").write_text("these are notes")
    whole = shipped.WEIGHTS.read_bytes()
    (folder / "truncated.safetensors").write_bytes(whole[:-1000])
    with safe_open(shipped.WEIGHTS, framework="pt") as file:
        names = set(file.keys()) - {"dit.head.bias"}
        save_file({name: file.get_tensor(name) for name in names}, folder / "lacking.safetensors")
    (folder / "file").touch()


REFUSED = {
    "an unknown slug": (
        ("run", "pocket-racr"),
        "There is no slug 'pocket-racr'.|Did you mean 'pocket-racer'?",
    ),
    "an unknown field": ((*RUN, "--sede", "1"), "--sede|--seed"),
    "an unknown component": (
        (*RUN, "--use", "scheduler=unipcc"),
        "'unipcc'|Did you mean 'unipc'?|flashdreams components",
    ),
    "a wrong type": ((*RUN, "--total-blocks", "many"), "--total-blocks|'many'"),
    "a wrong choice": ((*RUN, f"{TRANSFORMER}.rope-positions", "around"), "around"),
    "steps that disagree with the timesteps": (
        (*RUN, f"{SCHEDULER}.num-inference-steps", "3"),
        "num_inference_steps is 3|lists 2",
    ),
    "a window that holds no whole chunks": (
        (*RUN, f"{TRANSFORMER}.window", "0"),
        "window is 0",
    ),
    "a sink without room": ((*RUN, f"{TRANSFORMER}.sink", "12"), "window is 12 and sink 12"),
    "graphs": (
        (*RUN, f"{TRANSFORMER}.use-cuda-graph", "True"),
        "use_cuda_graph is True, and the device is cpu.|NVIDIA|Leave --pipeline.diffusion-model.transformer",
    ),
    "an NPZ of two columns": (
        (*RUN, "--controls", "wide.npz"),
        "wide.npz has the shape [5, 2].|steer, gas and brake|Give three columns",
    ),
    "a CSV of two columns": ((*RUN, "--controls", "two.csv"), "two.csv begins with 'steer,gas'."),
    "a broken NPZ": ((*RUN, "--controls", "broken.npz"), "broken.npz cannot be read|Check the path"),
    "a script that means nothing": ((*RUN, "--controls", "gsa*20"), "'gsa'|Did you mean 'gas'?"),
    "a script without end": ((*RUN, "--controls", "gas*999999999999"), "lasts '999999999999'|1,000,000"),
    "an unknown driver": (
        (*RUN, "--controls", "policy:stedy"),
        "There is no driver 'stedy'.|Did you mean 'steady'?|--controls to policy:steady",
    ),
    "a driver without eyes": (
        (*RUN, *UNDECODED),
        "The controls are policy:steady, and the pipeline has no decoder.|without a decoder there are none",
    ),
    "an image that is none": (
        (*RUN, "--first-frame", "no.png"),
        "no.png is no image, or a damaged one.|An image is a PNG or JPEG file|save it as PNG",
    ),
    "an unknown start": (
        (*RUN, "--first-frame", "hairpn"),
        "There is no start clip 'hairpn', nor a file of that name.|Did you mean 'hairpin'?",
    ),
    "an unknown start of the encoder": (
        (*RUN, f"{TRANSFORMER}.context-encoder.start", "grit"),
        "There is no start clip 'grit'|Did you mean 'grid'?",
    ),
    "a rate that no file can say": (
        (*RUN, "--fps", "0.001", "--output", "v.gif"),
        "fps is 0.001.|0.1 to 1000",
    ),
    "an output of no known kind": ((*RUN, "--output", "v.avi"), "The output is v.avi|Name it v.mp4"),
    "an output folder that cannot be written": (
        (*RUN, "--output", "file/below/v.mp4"),
        "file/below/v.mp4 cannot be written: Not a directory.|Choose another place with --output",
    ),
    "a device that is not there": ((*RUN, "--device", "cuda:99"), "The device is 'cuda:99'.|--device"),
}


@pytest.mark.parametrize("checked", [(), ("--print-config",)], ids=["run", "print-config"])
@pytest.mark.parametrize("mistake", REFUSED)
def test_bad_input_is_refused_with_three_lines_and_leaves_nothing(cli, tmp_path, mistake, checked):
    write_inputs(tmp_path)
    before = sorted(tmp_path.iterdir())
    argv, says = REFUSED[mistake]
    outcome = cli(*argv, *checked)
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert outcome.err.startswith("error: ")
    for text in says.split("|"):
        assert text in outcome.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ("absent.safetensors", "There is no weights file absent.safetensors."),
        ("truncated.safetensors", "truncated.safetensors is no whole safetensors file"),
        ("lacking.safetensors", "1 missing"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(cli, tmp_path, weights, says):
    write_inputs(tmp_path)
    before = sorted(tmp_path.iterdir())
    outcome = cli(*RUN, *SHORT, "1", f"{TRANSFORMER}.weights", weights, "--output", "new/v.mp4")
    assert outcome.code == 2
    assert says in outcome.err
    assert "Traceback" not in outcome.err
    assert sorted(tmp_path.iterdir()) == before


def test_weights_with_another_hash_are_refused(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "WEIGHTS_SHA256", "0" * 64)
    outcome = cli(*RUN, *SHORT, "1")
    assert outcome.code == 2
    assert "has the SHA-256" in outcome.err
    assert "The pinned one is 000000000000..." in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_print_config_of_what_is_right_prints_and_writes_nothing(cli, tmp_path):
    outcome = cli(*RUN, "--controls", "gas*9", "--print-config", "--output", "new/v.mp4")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("RacerRunnerConfig\n")
    assert list(tmp_path.iterdir()) == []


# --- a run made again


@pytest.mark.parametrize(
    "flags",
    [
        ("--seed", "5", "--controls", "gas*2, gas+left*3, brake"),
        ("--controls", "policy:weaver", "--first-frame", "picture.png", "--scale", "2"),
        ("--controls", "drive.csv", f"{TRANSFORMER}.context-encoder.start", "hairpin", "--fps", "25"),
    ],
    ids=["script", "policy and image", "file and start clip"],
)
def test_a_run_is_made_again_from_its_record(cli, tmp_path, flags):
    levels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(levels).resize((96, 64)).save(tmp_path / "picture.png")
    (tmp_path / "drive.csv").write_text("steer,gas,brake\n0,0.5,0\n0.5,0.2,0\n-0.5,0,0.3\n")
    assert cli(*RUN, *SHORT, "7", *flags, "--output", "first.mp4").code == 0
    outcome = cli("run", "--config", "first.mp4.run.yaml", "--output", "second.mp4")
    assert (outcome.code, outcome.err) == (0, "")
    first, second = decoded(tmp_path / "first.mp4"), decoded(tmp_path / "second.mp4")
    assert len(first) == 7
    assert (first == second).all()
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "second.mp4").read_bytes()


def test_a_changed_control_file_is_refused(cli, tmp_path):
    (tmp_path / "drive.csv").write_text("steer,gas,brake\n0,0.5,0\n")
    assert cli(*RUN, *SHORT, "1", "--controls", "drive.csv", "--output", "v.mp4").code == 0
    (tmp_path / "drive.csv").write_text("steer,gas,brake\n0,0.9,0\n")
    outcome = cli("run", "--config", "v.mp4.run.yaml", "--output", "w.mp4")
    assert outcome.code == 2
    assert "drive.csv is not the file that the run was made from" in outcome.err


def test_the_start_clip_of_the_context_encoder_is_the_start(cli, tmp_path):
    start = (f"{TRANSFORMER}.context-encoder.start", "hairpin")
    assert cli(*RUN, *SHORT, "1", *start, "--output", "encoder.npz").code == 0
    assert cli(*RUN, *SHORT, "1", "--first-frame", "hairpin", "--output", "runner.npz").code == 0
    assert cli(*RUN, *SHORT, "1", "--output", "straight.npz").code == 0
    latents = {p.stem: np.load(p)["chunk-000000"] for p in tmp_path.glob("*.npz")}
    assert (latents["encoder"] == latents["runner"]).all()
    assert (latents["encoder"] != latents["straight"]).any()


def test_latents_need_no_decoder_where_a_script_steers(cli, tmp_path):
    assert cli(*RUN, *SHORT, "2", *UNDECODED, "--controls", "gas").code == 0
    latents = np.load(tmp_path / "outputs/pocket-racer-seed0.npz")["chunk-000000"]
    assert latents.shape == (1, 8, 1, 8, 8)
    assert torch.from_numpy(latents).isfinite().all()
