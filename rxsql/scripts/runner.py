"""What a child does with a script or a published function: bytes in, a table and parameters made of them, bytes out."""

from __future__ import annotations

import json
import linecache
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rxsql.errors import ScriptError
from rxsql.pages import IN, OUT, PARAM, Spool, unpack
from rxsql.scripts import reading, writing
from rxsql.scripts.columns import SqlColumn
from rxsql.scripts.loopback import set_loopback
from rxsql.scripts.need import pandas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pandas import DataFrame

    from rxsql.pages import Page

SCRIPT, PUBLISHED = "script", "published"  # kinds of jobs, besides those of rx_exec
FILE = "<script>"  # the name of the script in tracebacks
FRAMES = 1  # of this module, above the user's in a traceback
_LANGUAGE = "python"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a script.

    Args:
        name: The variable's name, without @.
        declaration: Its SQL type as declared; empty: what its value needs.
        cell: The value it begins with.
        is_output: Whether the variable's value at the end is returned.
    """

    name: str
    declaration: str
    cell: Any
    is_output: bool

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Parameter:
        """Return a parameter of its entry in `scripts.params`.

        Raises:
            ScriptError: Its name cannot be a variable's.
        """
        name = str(entry.get("name", "")).removeprefix("@")
        _check_name("parameter", name)
        return cls(name, entry.get("type") or "", entry.get("value"), bool(entry.get("output")))

    @property
    def column(self) -> SqlColumn | None:
        """Its type, where one was declared."""
        return SqlColumn.declared(self.name, self.declaration) if self.declaration else None

    @property
    def value(self) -> Any:
        """What it begins with, as Python has it."""
        return reading.value_of(self.column, self.cell) if self.column else self.cell


def _check_name(what: str, name: str) -> None:
    if not name.isidentifier():
        raise ScriptError(f"The {what} {name!r} cannot be a variable of Python: rename it.")


class Script:
    """A script, compiled; called with a task's pages once a run.

    Args:
        spec: What `scripts` says of the job.

    Raises:
        ScriptError: It is in another language, or does not parse.
    """

    own_frames = FRAMES

    def __init__(self, spec: Mapping[str, Any]) -> None:
        if str(spec["language"]).lower() != _LANGUAGE:
            raise ScriptError(f"The language {spec['language']!r} is not served here; it is Python.")
        self._text = spec["script"] or ""
        self._input_name = spec["input_name"]
        self._output_name = spec["output_name"]
        for name in (self._input_name, self._output_name):
            _check_name("data set", name)
        self._parameters = [Parameter.of(entry) for entry in spec["params"]]
        try:
            self._code = compile(self._text, FILE, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise ScriptError(_why_not_parsed(error)) from None
        linecache.cache[FILE] = (len(self._text), None, self._text.splitlines(keepends=True), FILE)
        set_loopback(spec.get("loopback"))

    def __call__(self, own: bytes | memoryview | Spool) -> Spool:
        """Run it; return its output table and OUTPUT parameters as pages."""
        variables: dict[str, Any] = {"__name__": "__main__"}
        variables[self._input_name] = reading.frame_of(_given(own))
        variables.update({p.name: p.value for p in self._parameters if not p.is_output or p.cell is not None})
        exec(self._code, variables)  # noqa: S102 - what a script is for
        output = variables.get(self._output_name)
        made = Spool(_table(self._output_name, output))
        for page in self._outputs(variables):
            made.add(page)
        return made

    def _outputs(self, variables: Mapping[str, Any]) -> list[Page]:
        values = []
        for parameter in self._parameters:
            if not parameter.is_output:
                continue
            if parameter.name not in variables:
                raise ScriptError(
                    f"The script did not assign its OUTPUT parameter {parameter.name!r}. Assign it, None for NULL: "
                    f"{parameter.name} = None"
                )
            values.append(_output_cell(parameter, variables[parameter.name]))
        return [writing.page_of_values(values, PARAM)] if values else []


def _given(own: bytes | memoryview | Spool) -> Iterator[Page]:
    try:
        yield from (page for page in (own if isinstance(own, Spool) else unpack(own)) if page.direction == IN)
    except ValueError:
        raise ScriptError("The script's input was deleted from the store. Submit the job again.") from None


def _why_not_parsed(error: SyntaxError | ValueError) -> str:
    if not isinstance(error, SyntaxError):
        return f"The script does not parse: {error}."
    where = f" in line {error.lineno}: {(error.text or '').strip()}" if error.lineno else ""
    hint = " Its first line must not be indented." if isinstance(error, IndentationError) else ""
    return f"The script does not parse: {type(error).__name__}: {error.msg}{where}.{hint}"


def _table(name: str, output: Any) -> Iterable[Page]:
    if output is None:
        return []
    if not isinstance(output, pandas().DataFrame):
        raise ScriptError(
            f"{name} must be a pandas DataFrame, and is of the type {type(output).__name__}. Make one of it: "
            f"{name} = pandas.DataFrame(...)"
        )
    return writing.pages_of(output, OUT)


def _output_cell(parameter: Parameter, value: Any) -> tuple[SqlColumn, Any]:
    found, cell = writing.cell_of(value)
    declared = parameter.column
    if declared is None:
        return SqlColumn(parameter.name, found.type, found.size, found.scale), cell
    try:
        reading.value_of(declared, cell)  # it must be one of its type
    except ScriptError as error:
        raise ScriptError(
            f"The OUTPUT parameter {parameter.name!r} is no {parameter.declaration}: {error}"
        ) from None
    return declared, cell


class Published:
    """A published function; called with no pages, once.

    Args:
        spec: What `scripts` says of the job; its `params` are the arguments by name.
        function: The function that was published.
    """

    own_frames = FRAMES

    def __init__(self, spec: Mapping[str, Any], function: Callable[..., Any]) -> None:
        self._function = function
        self._arguments = spec["params"]
        if not isinstance(self._arguments, dict):
            raise ScriptError(
                f'The arguments must be a JSON object such as {{"name": 1}}, not {json.dumps(self._arguments)[:100]}.'
            )
        set_loopback(spec.get("loopback"))

    def __call__(self, _own: bytes | memoryview | Spool) -> Spool:
        """Call it; return what it returned as a table."""
        return Spool(writing.pages_of(rows_of(self._function(**self._arguments)), OUT))


def rows_of(value: Any) -> DataFrame:
    """Return what a function returned as a table.

    A DataFrame is itself; a list of dicts has a row each, a dict is one row; another list has a row each in the column
    `value`, anything else is one such row.
    """
    frame = pandas().DataFrame
    if isinstance(value, frame):
        return value
    if isinstance(value, pandas().Series):
        return value.to_frame("value" if value.name is None else value.name)
    rows: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
    if rows and all(isinstance(row, dict) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = {place: _objects([row.get(name) for row in rows]) for place, name in enumerate(names)}
        made = frame(table)
        made.columns = names
        return made
    return frame({"value": _objects(list(rows))})


def _objects(values: list[Any]) -> Any:
    """Return values as they are: pandas would make numbers with gaps floating."""
    return pandas().Series(values, dtype="object")


def prepare(kind: str, spec: bytes, function: Callable[..., Any] | None) -> Script | Published:
    """Return what runs a job that is none of `rx_exec`'s.

    Args:
        kind: The job's kind.
        spec: What `scripts` says of it, as JSON.
        function: The function that was published, for its kind.

    Raises:
        ScriptError: It cannot be run.
    """
    details = json.loads(spec)
    if kind == SCRIPT:
        return Script(details)
    if kind == PUBLISHED and function is not None:
        return Published(details, function)
    raise ScriptError(
        f"A job of the kind {kind!r} cannot be run by this version of rxsql. Upgrade the worker."
    )
