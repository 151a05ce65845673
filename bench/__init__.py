"""Benchmarks. No test passes or fails on what they print."""
