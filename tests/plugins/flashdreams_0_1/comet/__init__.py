"""Comets."""
