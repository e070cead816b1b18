"""`python -m flashdreams_pocket.train`: every stage from the true world to released weights."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

ORDER = ("collect", "autoencoder", "encode", "world-model", "export", "probe", "evaluate", "sheets")


def main() -> None:
    """Reads the command line and runs one stage."""
    parser = argparse.ArgumentParser(prog="python -m flashdreams_pocket.train")
    parser.add_argument("--run", type=Path, default=Path("pocket-run"), help="data and checkpoints")
    stages = parser.add_subparsers(dest="stage", required=True)

    stage = stages.add_parser("collect", help="drive in the true world")
    stage.add_argument("--shards", type=int, default=52)
    stage.add_argument("--seconds", type=float, default=900)

    stage = stages.add_parser("autoencoder", help="train frames to latents and back")
    stage.add_argument("--seconds", type=float, default=520)

    stages.add_parser("encode", help="turn the data into latents")

    stage = stages.add_parser("world-model", help="train the world model on latents")
    stage.add_argument("--seconds", type=float, default=5640)

    stage = stages.add_parser("export", help="write the files that ship")
    stage.add_argument("--to", type=Path, default=Path(__file__).parents[1] / "weights")

    stage = stages.add_parser("probe", help="train the judge's eye for yaw and speed")
    stage.add_argument("--seconds", type=float, default=130)

    for name in ("evaluate", "sheets"):
        stage = stages.add_parser(name, help="figures" if name == "evaluate" else "contact sheets")
        stage.add_argument("--weights", help="judge the product: 'shipped', or a file; else the checkpoints")
        stage.add_argument("--to", type=Path, help="where to write; default: in the run")
        stage.add_argument("--frames", type=int, default=512 if name == "evaluate" else 1000)

    stages.add_parser("all", help="every stage in order, with the budgets of the release")

    arguments = parser.parse_args()
    if arguments.stage == "all":
        for stage_name in ORDER:
            _run(parser.parse_args(["--run", str(arguments.run), stage_name]))
    else:
        _run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.stage == "collect":
        from flashdreams_pocket.train.collect import collect

        collect(arguments.run / "data", arguments.shards, arguments.seconds)
    if arguments.stage == "autoencoder":
        from flashdreams_pocket.train.train_autoencoder import train_autoencoder

        train_autoencoder(arguments.run, arguments.seconds)
    if arguments.stage == "encode":
        from flashdreams_pocket.train.latents import encode

        encode(arguments.run)
    if arguments.stage == "world-model":
        from flashdreams_pocket.train.train_world_model import train_world_model

        train_world_model(arguments.run, arguments.seconds)
    if arguments.stage == "export":
        from flashdreams_pocket.train.export import export

        export(arguments.run, arguments.to)
    if arguments.stage == "probe":
        from flashdreams_pocket.train.probe import train_probe

        train_probe(arguments.run, arguments.seconds)
    if arguments.stage in ("evaluate", "sheets"):
        _judge(arguments)


def _judge(arguments: argparse.Namespace) -> None:
    from functools import partial

    import torch

    from flashdreams_pocket.train.dream import Dreamer, NetworkDreamer
    from flashdreams_pocket.train.product import PipelineDreamer

    torch.set_num_threads(1)
    make: Callable[..., Dreamer]
    if arguments.weights:
        make = partial(PipelineDreamer, arguments.weights)
    else:
        make = partial(NetworkDreamer.from_run, arguments.run)
    if arguments.stage == "evaluate":
        from flashdreams_pocket.train.evaluate import write_report

        write_report(make, arguments.run, arguments.to or arguments.run / "evaluation", arguments.frames)
    else:
        from flashdreams_pocket.train.sheets import sheets

        sheets(make(), arguments.to or arguments.run / "sheets", arguments.frames)


if __name__ == "__main__":
    main()
