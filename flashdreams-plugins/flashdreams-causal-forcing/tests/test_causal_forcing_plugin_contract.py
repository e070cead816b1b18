"""The plugin keeps its contract."""

from flashdreams.testing import PluginContract


class TestPlugin(PluginContract):
    distribution = "flashdreams-causal-forcing"
