"""Frames on their way to people: encoded, tagged, kept for a while, saved."""
