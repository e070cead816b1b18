"""Decoders that the toys could have instead of their own."""

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import ComponentSpec


@hookimpl
def flashdreams_components():
    return [
        ComponentSpec("decoder", "a-broken-one", "Fails to load.", "plan_toys:broken_decoder"),
        ComponentSpec("decoder", "a-thin-one", "Decodes by less.", "plan_toys:ThinDecoderConfig"),
    ]
