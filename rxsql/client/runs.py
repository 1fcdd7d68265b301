"""The rules by which `rx_exec`'s arguments become runs."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rxsql.client.context import whole_number
from rxsql.errors import ArgumentsError

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Runs:
    """What to call: arguments that all runs share, and each run's own (empty where runs do not differ)."""

    shared: dict[str, Any]
    own: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.own)

    @property
    def differ(self) -> bool:
        """Whether runs have arguments of their own."""
        return any(self.own)


def plan(function: Any, args: Any, times_to_run: int, kwargs: Mapping[str, Any]) -> Runs:
    """Return the runs that `rx_exec(function, args, times_to_run, **kwargs)` means.

    A dict is the arguments of each run, a list of dicts one run each. In `kwargs` a list has one element a run,
    anything else is the same in each run; a list as a value is wrapped in a list.

    Raises:
        ArgumentsError: The arguments contradict each other, or do not fit the function.
    """
    if not callable(function):
        raise ArgumentsError(f"function must be callable, and {function!r} is not.")
    shared: dict[str, Any] = {name: value for name, value in kwargs.items() if not isinstance(value, list)}
    columns: dict[str, list[Any]] = {name: value for name, value in kwargs.items() if isinstance(value, list)}
    rows: list[dict[str, Any]] | None = None
    if isinstance(args, Mapping):
        _refuse_twice(args, kwargs)
        shared.update(args)
    elif args is not None:
        rows = _rows(args)
        for row in rows:
            _refuse_twice(row, kwargs)
    count = _count(rows, columns)
    own = [dict(row) for row in rows] if rows is not None else [{} for _ in range(count or 1)]
    for name, values in columns.items():
        for run, value in zip(own, values, strict=True):
            run[name] = value
    own = _repeat(own, _times(times_to_run, count))
    runs = _share_same(shared, own)
    _check_signature(function, runs)
    return runs


def _rows(args: Any) -> list[dict[str, Any]]:
    if not isinstance(args, (list, tuple)):
        raise ArgumentsError(
            f"args must be a dict (the same for each run) or a list of dicts (a run each), not {args!r}."
        )
    for position, row in enumerate(args):
        if not isinstance(row, Mapping):
            raise ArgumentsError(f"args[{position}] must be a dict of named arguments, not {row!r}.")
    if not args:
        raise ArgumentsError("args is an empty list: there is nothing to run.")
    return [dict(row) for row in args]


def _refuse_twice(args: Mapping[str, Any], kwargs: Mapping[str, Any]) -> None:
    twice = sorted(args.keys() & kwargs.keys())
    if twice:
        raise ArgumentsError(f"The argument {twice[0]!r} is given twice: in args, and by itself.")


def _count(rows: list[dict[str, Any]] | None, columns: Mapping[str, list[Any]]) -> int | None:
    lengths = {name: len(values) for name, values in columns.items()}
    if rows is not None:
        lengths["args"] = len(rows)
    if not lengths:
        return None
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ArgumentsError(
            f"Lists give one element to each run, and these differ in length: {found}. To pass a list as a value, "
            "wrap it in a list."
        )
    count = next(iter(lengths.values()))
    if count == 0:
        raise ArgumentsError(f"{next(iter(lengths))} is an empty list: there is nothing to run.")
    return count


def _times(times_to_run: Any, count: int | None) -> int:
    """Return how often the given runs are repeated."""
    wanted = whole_number("times_to_run", times_to_run, least=-1)
    if wanted == 0:
        raise ArgumentsError(
            "times_to_run must be a whole number from 1, or -1: as the arguments say; it is 0."
        )
    if wanted in (-1, count):
        return 1
    if count in (None, 1):
        return wanted
    raise ArgumentsError(
        f"times_to_run is {wanted}, and the arguments are for {count} runs. Leave one of them out."
    )


def chunk_size(task_chunk_size: Any) -> int:
    """Return how many runs make a task.

    Raises:
        ArgumentsError: It is no whole number from 1.
    """
    return 1 if task_chunk_size is None else whole_number("task_chunk_size", task_chunk_size, least=1)


def _repeat(own: list[dict[str, Any]], times: int) -> list[dict[str, Any]]:
    return own if times == 1 else [dict(own[0]) for _ in range(times)]


def _share_same(shared: dict[str, Any], own: list[dict[str, Any]]) -> Runs:
    """Move what is the very same object in each run to the shared arguments, so that it is stored once."""
    first = own[0]
    if not first:
        return Runs(shared, own)
    same = {name for name, value in first.items() if all(run.get(name, _ABSENT) is value for run in own)}
    moved = {name: first[name] for name in same}
    rest = [{name: value for name, value in run.items() if name not in same} for run in own]
    return Runs({**shared, **moved}, rest)


def _takes(function: Callable[..., Any], names: set[str]) -> bool:
    """Whether a plain function surely takes arguments of these names: asked in a tenth of its signature's time."""
    if type(function) is not types.FunctionType or function.__dict__:  # which may say another signature
        return False
    code = function.__code__
    positional, count = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    needed = {*code.co_varnames[: positional - len(function.__defaults__ or ())]}
    needed.update({*code.co_varnames[positional:count]} - (function.__kwdefaults__ or {}).keys())
    return not code.co_posonlyargcount and needed <= names <= {*code.co_varnames[:count]}


def _check_signature(function: Callable[..., Any], runs: Runs) -> None:
    signature: inspect.Signature | None = None
    checked: set[frozenset[str]] = set()
    for run, own in enumerate(runs.own):
        names = frozenset(own)
        if names in checked:
            continue
        checked.add(names)
        if _takes(function, {*runs.shared, *names}):
            continue
        try:
            signature = signature or inspect.signature(function)
        except (TypeError, ValueError):  # some built-in functions have none
            return
        try:
            signature.bind(**dict.fromkeys({*runs.shared, *names}))
        except TypeError as error:
            raise ArgumentsError(f"The arguments of run {run} do not fit the function: {error}.") from None
