"""Benchmarks: how long the steps take, beside what they replace, in the same run."""
