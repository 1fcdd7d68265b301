"""A time of day with SQL's seventh digit, which Python's own lacks."""

from __future__ import annotations

import datetime as dt
from typing import Self

_DIGITS = 7


class SqlTime(dt.time):
    """A `datetime.time` that knows its ten millionths of a second.

    Example:
        >>> SqlTime.parse("03:04:05.1234567")
        SqlTime('03:04:05.1234567')
        >>> SqlTime.parse("03:04:05.1234567") > SqlTime.parse("03:04:05")
        True
    """

    last_digit: int

    @classmethod
    def parse(cls, text: str) -> dt.time | Self:
        """Return a time of its text; a plain `datetime.time` where that holds it all."""
        whole, _, fraction = text.partition(".")
        digits = fraction.ljust(_DIGITS, "0")
        plain = dt.time.fromisoformat(whole).replace(microsecond=int(digits[:6]))
        if digits[6] == "0":
            return plain
        made = cls(plain.hour, plain.minute, plain.second, plain.microsecond)
        made.last_digit = int(digits[6])
        return made

    def isoformat(self, timespec: str = "auto") -> str:
        """Return the time with all seven digits, unless fewer are asked for."""
        if timespec != "auto" or not hasattr(self, "last_digit"):
            return super().isoformat(timespec)
        return f"{super().isoformat('microseconds')}{self.last_digit}"

    def __str__(self) -> str:
        return self.isoformat()

    def __repr__(self) -> str:
        return f"SqlTime({self.isoformat()!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dt.time) and self._exact() == _exact(other)

    def __lt__(self, other: dt.time) -> bool:
        return self._exact() < _exact(other)

    def __le__(self, other: dt.time) -> bool:
        return self._exact() <= _exact(other)

    def __gt__(self, other: dt.time) -> bool:
        return self._exact() > _exact(other)

    def __ge__(self, other: dt.time) -> bool:
        return self._exact() >= _exact(other)

    def __hash__(self) -> int:
        return hash(self._exact())

    def _exact(self) -> tuple[int, int, int, int, int]:
        return self.hour, self.minute, self.second, self.microsecond, getattr(self, "last_digit", 0)


def _exact(other: dt.time) -> tuple[int, int, int, int, int]:
    return other.hour, other.minute, other.second, other.microsecond, getattr(other, "last_digit", 0)
