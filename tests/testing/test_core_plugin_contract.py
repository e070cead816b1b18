"""Core registers its own components as a plugin would, and keeps the same contract."""

from flashdreams.testing import PluginContract


class TestCore(PluginContract):
    distribution = "flashdreams-core"
