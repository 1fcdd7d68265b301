"""Settings come from `RXSQL_…` variables, in the types of their defaults."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import pytest

from rxsql.errors import SettingsError
from rxsql.settings import Settings, default_store


def test_defaults_need_no_environment():
    """Without variables every setting has its default."""
    assert Settings.from_environment({}) == Settings()


def test_every_setting_has_a_variable():
    """Each field is read from the variable of its name, as the type of its default."""
    for field in fields(Settings):
        examples = {str: ("x", "x"), int: ("7", 7), float: ("2.5", 2.5), bool: ("1", True)}
        text, value = examples[type(field.default)]
        assert getattr(Settings.from_environment({f"RXSQL_{field.name.upper()}": text}), field.name) == value


def test_an_empty_variable_is_not_set():
    """`RXSQL_SLOTS=` means the default."""
    assert Settings.from_environment({"RXSQL_SLOTS": "", "RXSQL_STORE": ""}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("RXSQL_SLOTS", "many", "RXSQL_SLOTS must be a whole number, not 'many'"),
        ("RXSQL_SLOTS", "1.5", "RXSQL_SLOTS must be a whole number, not '1.5'"),
        ("RXSQL_SLOTS", "-1", "RXSQL_SLOTS must be at least 0, and is -1"),
        ("RXSQL_LEASE_SECONDS", "soon", "RXSQL_LEASE_SECONDS must be a number, not 'soon'"),
        ("RXSQL_LEASE_SECONDS", "nan", "RXSQL_LEASE_SECONDS must be a number, not 'nan'"),
        ("RXSQL_RETENTION_SECONDS", "inf", "RXSQL_RETENTION_SECONDS must be a number, not 'inf'"),
        ("RXSQL_LEASE_SECONDS", "0", "RXSQL_LEASE_SECONDS must be at least 0.1, and is 0"),
        ("RXSQL_MAX_ATTEMPTS", "0", "RXSQL_MAX_ATTEMPTS must be at least 1, and is 0"),
        ("RXSQL_REQUIRE_SIGNATURE", "yes", "RXSQL_REQUIRE_SIGNATURE must be 0 or 1, not 'yes'"),
    ],
)
def test_unusable_values_are_refused_by_name(variable, text, message):
    """A wrong value is an error that names the variable, the rule and the value."""
    with pytest.raises(SettingsError, match=message):
        Settings.from_environment({variable: text})


def test_settings_are_frozen():
    """Nobody changes a setting while the process runs."""
    with pytest.raises(FrozenInstanceError):
        Settings().slots = 3


def test_a_switch_can_be_off():
    """`RXSQL_REQUIRE_SIGNATURE=0` is the default, said aloud."""
    assert Settings.from_environment({"RXSQL_REQUIRE_SIGNATURE": "0"}) == Settings()


def test_keys_are_not_shown():
    """The settings can be printed: the signing keys are not in their repr."""
    assert "hidden" not in repr(Settings(signing_keys="id:hidden"))


def test_child_slots():
    """0 slots means one a processor that this process may use; the number is at least 1."""
    assert Settings(slots=3).child_slots == 3
    assert 1 <= Settings().child_slots <= os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes have no affinity here")
def test_child_slots_of_a_process_bound_to_one_processor():
    """A worker that may use one processor only runs one child, however many the machine has."""
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from rxsql.settings import Settings; print(Settings().child_slots)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "1\n"


def test_the_default_store_is_in_the_users_data_folder(monkeypatch, tmp_path):
    """The store that needs no set-up lies where the platform keeps a user's data."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_store().startswith(str(tmp_path))
    assert default_store().endswith("jobs.db")
