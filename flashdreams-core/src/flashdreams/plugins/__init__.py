"""Plugins: what they may add (``specs``, ``hookspecs``), and how they are found (``registry``)."""
