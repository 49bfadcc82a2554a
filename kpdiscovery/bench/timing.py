"""Medians of functions timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

# 'cpu' adds up all threads: pinned to one core it tells two programs apart even on a
# machine that is busy with others, where threads that wait for one another lose most.
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


def median_ms(
    functions: Mapping[str, Callable[[], Any]], repeats: int, clock: str = 'wall'
) -> dict[str, float]:
    """Median milliseconds of each function, taken in turn after one warm-up each."""
    now = CLOCKS[clock]
    times: dict[str, list[float]] = {name: [] for name in functions}
    for round_ in range(repeats + 1):
        for name, function in functions.items():
            start = now()
            jax.block_until_ready(function())
            if round_:
                times[name].append(1e3 * (now() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def device() -> str:
    """What a row calls the machine."""
    return jax.devices()[0].device_kind
