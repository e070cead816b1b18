"""Self-Forcing: Wan 2.1 distilled to four steps, streamed chunk by chunk."""
