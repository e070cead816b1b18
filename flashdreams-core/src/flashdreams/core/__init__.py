"""The mathematics: attention, KV cache, rotary positions, patches. Plain torch, no infrastructure."""
