"""How many inputs a fuzz test tries: a third of the number it names, or all of them times ``CAUSALMIX_FUZZ``.

    CAUSALMIX_FUZZ=1 python -m pytest tests/graph/test_fuzz_graphs.py

What a test tries is the same every time at one size, and different at another: a larger size is a search of its own.
"""

import os

from hypothesis import HealthCheck, settings

SIZE = float(os.environ.get("CAUSALMIX_FUZZ", 1 / 3))
LEAST = 20


def tries(n: int) -> settings:
    """Settings of a test that tries n inputs at the full size."""
    return settings(
        max_examples=max(min(n, LEAST), round(n * SIZE)),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
