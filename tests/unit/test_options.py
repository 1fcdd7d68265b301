"""`RxOptions` has revoscalepy's names, and refuses others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rxsql import RxOptions
from rxsql.errors import ArgumentsError

# The option names of the revoscalepy reference, misspelling included.
NAMES = (
    "unitTestDataDir sampleDataDir blocksPerRead reportProgress RowDisplayMax MemStatsReset MemStatsDiff NumCoresToUse "
    "NumDigits ShowTransformFn DataPath OutDataPath XdfCompressionLevel FileSystem UseSparseCube RngBfferSize DropMain "
    "CoefLabelStyle NumTasks unixPythonPath traceLevel"
).split()


@pytest.fixture(autouse=True)
def options_as_before() -> Iterator[None]:
    """Give back the options that a test changed."""
    before = {name: RxOptions.get_option(name) for name in NAMES}
    yield
    for name, value in before.items():
        RxOptions.set_option(name, value)


@pytest.mark.parametrize("name", NAMES)
def test_every_documented_option_is_there(name):
    """Each of the reference's options can be read, and set to what it is."""
    RxOptions.set_option(name, RxOptions.get_option(name))


def test_an_option_keeps_its_value():
    """What is set is what is read."""
    RxOptions.set_option("sampleDataDir", "/data")
    RxOptions.set_option("reportProgress", 3)
    assert (RxOptions.get_option("sampleDataDir"), RxOptions.get_option("reportProgress")) == ("/data", 3)


@pytest.mark.parametrize(
    "call", [lambda: RxOptions.get_option("reportprogress"), lambda: RxOptions.set_option("x", 1)]
)
def test_an_unknown_option_lists_those_there_are(call):
    """A misspelt name is refused with the names."""
    with pytest.raises(ArgumentsError, match="There is no option .*The options are: .*reportProgress"):
        call()


@pytest.mark.parametrize("value", [-1, "0", 1.5, True, None])
def test_report_progress_is_a_whole_number(value):
    """A wrong value of an option that is read is refused and changes nothing."""
    with pytest.raises(ArgumentsError, match="reportProgress must be a whole number from 0"):
        RxOptions.set_option("reportProgress", value)
    assert RxOptions.get_option("reportProgress") == 2
