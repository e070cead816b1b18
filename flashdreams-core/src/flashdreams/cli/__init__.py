"""The command line: one command a file. Nothing here imports torch or numpy before work begins."""
