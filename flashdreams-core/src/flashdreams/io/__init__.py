"""Disk: weights in, images in, video out. Nothing heavy is imported until it is used."""
