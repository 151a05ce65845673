"""Runs the test suites of real programs plain and preloaded, and compares the results test by test."""
