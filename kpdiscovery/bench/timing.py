"""Medians of functions timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax


def median_ms(
    functions: dict[str, Callable[[], Any]], repeats: int
) -> dict[str, float]:
    """Median milliseconds of each function, taken in turn after one warm-up each."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for round_ in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            if round_:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def device() -> str:
    """What a row calls the machine."""
    return jax.devices()[0].device_kind
