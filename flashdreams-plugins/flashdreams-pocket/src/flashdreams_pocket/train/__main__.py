"""`python -m flashdreams_pocket.train`: every stage from the true world to released weights."""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flashdreams_pocket.train")
    parser.add_argument("--run", type=Path, default=Path("pocket-run"), help="data and checkpoints")
    stages = parser.add_subparsers(dest="stage", required=True)

    stage = stages.add_parser("collect", help="drive in the true world")
    stage.add_argument("--shards", type=int, default=52)
    stage.add_argument("--seconds", type=float, default=900)

    stage = stages.add_parser("autoencoder", help="train frames to latents and back")
    stage.add_argument("--seconds", type=float, default=780)

    stages.add_parser("encode", help="turn the data into latents")

    stage = stages.add_parser("world-model", help="train the world model on latents")
    stage.add_argument("--seconds", type=float, default=4800)

    arguments = parser.parse_args()
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


if __name__ == "__main__":
    main()
