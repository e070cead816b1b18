"""The toy pipeline with one fault each, and the check that must be the first to fail: no tests of their own.

Run by `test_pipeline_mutants.py`, by pytest in another process.
"""
