"""Benchmarks. No test passes or fails on what they print."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
