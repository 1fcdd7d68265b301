"""The public names: spelled, ordered and defaulted as revoscalepy has them, and loaded only when used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import rxsql
from rxsql import RxComputeContext, RxRemoteComputeContext, RxRemoteJob, RxRemoteJobStatus

# As the revoscalepy 9.4 reference prints them, without annotations.
SIGNATURES = {
    "RxInSqlServer": "(connection_string, num_tasks=1, auto_cleanup=True, console_output=None, "
    "execution_timeout_seconds=None, wait=True, packages_to_load=None)",
    "RxRemoteComputeContext": "(description, version, id=None, wait=True)",
    "RxLocalSeq": "()",
    "RxLocalParallel": "()",
    "RxRemoteJob": "(compute_context, job_id=None)",
    "rx_exec": "(function, args=None, times_to_run=-1, task_chunk_size=None, compute_context=None, local_state={}, "
    "callback=None, continue_on_failure=True, **kwargs)",
    "rx_set_compute_context": "(compute_context)",
    "rx_get_compute_context": "()",
    "rx_get_job_status": "(job_info)",
    "rx_get_job_results": "(job_info, console_output=None, auto_cleanup=None)",
    "rx_get_job_output": "(job_info)",
    "rx_get_job_info": "(job)",
    "rx_get_jobs": "(compute_context, exact_match=False, start_time=None, end_time=None, states=None, verbose=True)",
    "rx_wait_for_job": "(job_info)",
    "rx_cancel_job": "(job_info, console_output=False)",
    "rx_cleanup_jobs": "(job_info_list, force=False, verbose=True)",
}
ADDED = {"ScriptResult", "rx_execute_script", "rx_get_sql_loopback_connection_string"}
NAMES = {*SIGNATURES, "RxComputeContext", "RxRemoteJobStatus", "RxOptions", "rxg_last_pending_job", *ADDED}


def without_additions(signature: inspect.Signature) -> str:
    """Return a signature without annotations and without keyword-only parameters."""
    theirs = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    return str(inspect.Signature(theirs))


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_revoscalepys(name):
    """Names, order and defaults are those of the reference; whatever is added is keyword-only."""
    assert without_additions(inspect.signature(getattr(rxsql, name))) == SIGNATURES[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("close", "(self)"),
        ("deserialize_job", "(job_id)"),
        ("deserialize_jobs", "()"),
        ("resolve_context", "(self)"),
    ],
)
def test_a_job_has_revoscalepys_methods(name, expected):
    """`RxRemoteJob` has the four documented methods."""
    assert without_additions(inspect.signature(getattr(RxRemoteJob, name))) == expected


@pytest.mark.parametrize("name", ["get_option", "set_option"])
def test_options_are_static_methods(name):
    """`RxOptions` is used without an instance."""
    assert isinstance(inspect.getattr_static(rxsql.RxOptions, name), staticmethod)


def test_every_public_name_is_there():
    """`rxsql.__all__` and `dir(rxsql)` have all names of the issue, and a star import brings them."""
    namespace: dict[str, object] = {}
    exec("from rxsql import *", namespace)
    assert NAMES == set(rxsql.__all__)
    assert set(dir(rxsql)) >= NAMES
    assert namespace.keys() >= NAMES


def test_an_unknown_name_is_an_attribute_error():
    """A name that rxsql does not have is refused as Python refuses it."""
    with pytest.raises(AttributeError, match="no attribute 'rx_lin_mod'"):
        _ = rxsql.rx_lin_mod


def run_python(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options)


def test_importing_is_lazy():
    """`import rxsql` loads neither the store's nor the pickler's library, and a context does not either."""
    done = run_python(
        "import sys, rxsql\n"
        "rxsql.RxInSqlServer('jobs.db'); rxsql.RxRemoteJobStatus.FINISHED\n"
        "print([name for name in ('sqlalchemy', 'cloudpickle', 'rich') if name in sys.modules])"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


DEEP_IMPORTS = """
from rxsql.revoscalepy import install
install()
import revoscalepy
import revoscalepy as rp
from revoscalepy import *
from revoscalepy import RxInSqlServer as one, rx_exec
from revoscalepy.computecontext.RxInSqlServer import RxInSqlServer as two
from revoscalepy.computecontext.RxComputeContext import rx_set_compute_context
from revoscalepy.computecontext.RxLocalSeq import RxLocalSeq as local
from revoscalepy.computecontext.RxJob import RxRemoteJobStatus as status
from revoscalepy.computecontext.RxRemoteJob import RxRemoteJob as job
from revoscalepy.utils.RxOptions import RxOptions as options
import rxsql
assert one is two is rp.RxInSqlServer is rxsql.RxInSqlServer
assert local is rxsql.RxLocalSeq and status is rxsql.RxRemoteJobStatus and job is rxsql.RxRemoteJob
assert options is rxsql.RxOptions and rx_exec is rxsql.rx_exec
assert rx_set_compute_context is rxsql.rx_set_compute_context
assert revoscalepy.__version__.startswith("9.4")
assert hasattr(revoscalepy, "rx_exec") and not hasattr(revoscalepy, "rx_lin_mod")
print("all there")
"""


def test_revoscalepys_import_paths_lead_here():
    """After `install`, `revoscalepy` and its deep paths give the very objects of rxsql."""
    done = run_python(DEEP_IMPORTS)
    assert (done.stdout, done.stderr) == ("all there\n", "")


@pytest.mark.parametrize(
    "statement",
    [
        "from revoscalepy import rx_lin_mod",
        "from revoscalepy import RxSqlServerData",
        "from revoscalepy.etl.RxImport import rx_import",
        "import revoscalepy; revoscalepy.rx_lin_mod",
        "from revoscalepy.datasource import RxSqlServerData; RxSqlServerData('x')",
    ],
)
def test_a_part_that_rxsql_lacks_says_so(statement):
    """A data or model function of revoscalepy is refused with a sentence about what to use instead."""
    done = run_python(f"from rxsql.revoscalepy import install; install()\n{statement}")
    assert done.returncode == 1
    assert "is not part of rxsql" in done.stderr
    assert "pandas" in done.stderr


def test_the_original_revoscalepy_has_precedence(tmp_path: Path):
    """Where the original is installed, `install` leaves it alone."""
    (tmp_path / "revoscalepy.py").write_text("original = True")
    done = run_python(
        "from rxsql.revoscalepy import install; install()\nimport revoscalepy; print(revoscalepy.original)",
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_status_is_also_its_word():
    """A status equals and prints its lower-case word, and there are R's missing and undetermined."""
    assert RxRemoteJobStatus.FINISHED == "finished"
    assert str(RxRemoteJobStatus.CANCELED) == f"{RxRemoteJobStatus.CANCELED}" == "canceled"
    words = {"queued", "running", "finished", "failed", "canceled", "undetermined", "missing"}
    assert {str(status) for status in RxRemoteJobStatus} == words


def test_contexts_are_kinds_of_contexts():
    """All contexts are `RxComputeContext`s, and those that run elsewhere have an id and `wait`."""
    remote = RxRemoteComputeContext("mine", "1.0")
    assert isinstance(remote, RxComputeContext)
    assert remote.id
    assert remote.wait is True
    assert RxRemoteComputeContext("mine", "1.0", id="x", wait=False).id == "x"
    assert isinstance(rxsql.RxInSqlServer("jobs.db"), RxRemoteComputeContext)
