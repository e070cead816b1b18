"""Headless clients that measure a server."""
