"""Options of the session, by revoscalepy's names."""

from __future__ import annotations

from typing import Any, ClassVar

from rxsql.client.context import whole_number
from rxsql.errors import ArgumentsError

_WHOLE_NUMBERS = {"reportProgress": 0, "NumCoresToUse": -1}  # those that are read, with the least value


class RxOptions:
    """Options of this session, by name.

    `reportProgress` rules the progress bar of waiting calls (0: none), `NumCoresToUse` how many processes
    `RxLocalParallel` starts (0 or -1: one a processor). The others are kept so that scripts which set them run; nothing
    reads them.

    Example:
        >>> RxOptions.set_option("reportProgress", 0)
        >>> RxOptions.get_option("reportProgress")
        0
        >>> RxOptions.set_option("reportProgress", 2)

    Differs from revoscalepy: options about data and models have no effect.

    Source: `RxOptions` of the revoscalepy reference, 9.4.
    """

    _options: ClassVar[dict[str, Any]] = {
        "unitTestDataDir": "",
        "sampleDataDir": "",
        "blocksPerRead": 1,
        "reportProgress": 2,
        "RowDisplayMax": -1,
        "MemStatsReset": 0,
        "MemStatsDiff": 0,
        "NumCoresToUse": 0,
        "NumDigits": 7,
        "ShowTransformFn": False,
        "DataPath": [],
        "OutDataPath": [],
        "XdfCompressionLevel": 1,
        "FileSystem": "native",
        "UseSparseCube": False,
        "RngBfferSize": 1,
        "DropMain": True,
        "CoefLabelStyle": "Revo",
        "NumTasks": 1,
        "unixPythonPath": "",
        "traceLevel": 0,
    }

    @staticmethod
    def get_option(name: str) -> Any:
        """Return an option's value.

        Raises:
            ArgumentsError: There is no option of that name.
        """
        if name not in RxOptions._options:
            names = ", ".join(sorted(RxOptions._options))
            raise ArgumentsError(f"There is no option {name!r}. The options are: {names}.")
        return RxOptions._options[name]

    @staticmethod
    def set_option(name: str, value: Any) -> None:
        """Set an option.

        Raises:
            ArgumentsError: There is no option of that name, or it is one that is read and the value does not fit.
        """
        RxOptions.get_option(name)
        if name in _WHOLE_NUMBERS:
            value = whole_number(name, value, least=_WHOLE_NUMBERS[name])
        RxOptions._options[name] = value
