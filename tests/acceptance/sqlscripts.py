"""What the tests of scripts share: one table of every type, and what is to come back from it."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd

from rxsql.scripts.sqltime import SqlTime

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """Return the README's blocks of a language."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def every_type() -> pd.DataFrame:
    """A table with a column a type, in each a NULL or what else is hard."""
    return pd.DataFrame(
        {
            "flag": [True, False, True],
            "maybe": pd.Series([True, None, False], dtype="object"),
            "small": pd.Series([1, -32768, 32767], dtype="int16"),
            "whole": pd.Series([1, -(2**31), 2**31 - 1], dtype="int32"),
            "big": pd.Series([1, -(2**63), 2**63 - 1], dtype="int64"),
            "big_null": pd.Series([1, None, 2**63 - 1], dtype="Int64"),
            "real": [0.1, math.nan, -1.7976931348623157e308],
            "money": pd.Series(
                [decimal.Decimal("1.50"), None, decimal.Decimal("-12345678901234567890.123456")]
            ),
            "text": pd.Series(["ü 😀 'x'", None, ""], dtype="object"),
            "bytes": pd.Series([b"\x00\xff", None, b""], dtype="object"),
            "day": pd.Series([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)], dtype="object"),
            "moment": pd.Series(
                pd.to_datetime(["2020-01-02 03:04:05.1234567", None, "1999-12-31"], format="ISO8601"),
                dtype="datetime64[ns]",
            ),
            "zoned": pd.Series(
                [
                    pd.Timestamp("2020-01-02 03:04:05.1234567+05:30"),
                    None,
                    pd.Timestamp("2021-01-01", tz="UTC"),
                ],
                dtype="object",
            ),
            "clock": pd.Series(
                [SqlTime.parse("03:04:05.1234567"), None, dt.time(23, 59, 59)], dtype="object"
            ),
        }
    )


def same(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    """Whether two tables have the same columns, values and kinds of values, row by row."""
    return _plain(left) == _plain(right)


def _plain(frame: pd.DataFrame) -> list[tuple[Any, list[Any]]]:
    return [
        (name, [_cell(value) for value in frame.iloc[:, n].tolist()]) for n, name in enumerate(frame.columns)
    ]


def _cell(value: Any) -> Any:
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return isinstance(value, bool), value
