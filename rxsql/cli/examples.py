"""The functions that `rxsql demo` submits; a worker's child imports them from here, so nothing else is imported."""

# ruff: noqa: D103, PLC0415, PLR2004, S311 - the demo shows them as they stand


def hello_from_sql() -> str:
    import time

    print("Hello from SQL server")
    time.sleep(3)
    return "We just ran Python code asynchronously on a SQL server!"


def estimate_pi(seed: int) -> float:
    import random

    if seed == 13:
        raise ValueError("13 brings bad luck")
    dice = random.Random(seed)
    hits = sum(dice.random() ** 2 + dice.random() ** 2 < 1 for _ in range(1_000_000))
    return 4 * hits / 1_000_000
