"""Signatures: what is sealed comes out at its own place, and nothing else, nowhere else, with no other key."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import new_job

from rxsql import payload
from rxsql.errors import PayloadError, SettingsError, SignatureError
from rxsql.models import NewJob, WorkItem
from rxsql.payload import Keyring, signing
from rxsql.settings import Settings

# A slow machine is no failure.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

OLD = {"old": b"the old key, long enough"}
NEW = {"new": b"the new key, long enough"}
KEYED = Keyring(NEW)
STRICT = Keyring(NEW, required=True)
BARE = Keyring()
IDS = st.text(min_size=1, max_size=20)
NUMBERS = st.integers(0, 2**31 - 1)
SUBJECTS = st.one_of(
    st.builds(signing.shared_input, IDS),
    st.builds(signing.task_input, IDS, NUMBERS, NUMBERS, NUMBERS),
    st.builds(signing.result, IDS, NUMBERS, failed=st.booleans()),
)
HERE = signing.task_input("job", 3, 30, 10)


# ------------------------------------------------------------------------------------------------- payloads


@steady
@given(st.binary(max_size=300), SUBJECTS)
def test_what_is_sealed_comes_out(body, subject):
    """At its own place, a sealed body comes out as it went in, under every rule."""
    sealed = KEYED.seal(body, subject)
    assert sealed.endswith(body) and sealed != body
    for keyring in (KEYED, STRICT, BARE, Keyring({**OLD, **NEW})):
        assert keyring.unseal(sealed, subject) == body


def test_large_bodies_are_signed_as_small_ones_are():
    """Above the size from which nothing is copied, signatures come out, and refuse a changed byte, all the same."""
    for size in (64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 3_000_000):
        sealed = KEYED.seal(os.urandom(size), HERE)
        assert len(KEYED.unseal(sealed, HERE)) == size
        with pytest.raises(SignatureError, match="does not fit"):
            KEYED.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), HERE)


@steady
@given(st.binary(max_size=100), SUBJECTS, st.data())
def test_any_changed_byte_is_refused(body, subject, data):
    """Whichever byte of a sealed body is changed, a process that requires signatures refuses it."""
    sealed = bytearray(KEYED.seal(body, subject))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SignatureError):
        STRICT.unseal(bytes(sealed), subject)


@steady
@given(st.binary(max_size=100), SUBJECTS, st.data())
def test_any_changed_byte_behind_the_mark_is_refused_without_the_requirement(body, subject, data):
    """What still says that it is signed must be signed, though unsigned bytes would be taken."""
    sealed = bytearray(KEYED.seal(body, subject))
    sealed[data.draw(st.integers(len(signing.MAGIC), len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SignatureError):
        KEYED.unseal(bytes(sealed), subject)


@steady
@given(st.binary(max_size=100), SUBJECTS, st.data())
def test_any_truncation_is_refused(body, subject, data):
    """Wherever a sealed body is cut off, it is refused; one cut off within its signature also by who has no key."""
    sealed = KEYED.seal(body, subject)
    cut = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    with pytest.raises(SignatureError):
        STRICT.unseal(cut, subject)
    if len(signing.MAGIC) <= len(cut) < len(sealed) - len(body):
        with pytest.raises(SignatureError, match="cut off"):
            BARE.unseal(cut, subject)


@steady
@given(st.binary(max_size=100), SUBJECTS, SUBJECTS)
def test_another_place_is_refused(body, subject, other):
    """Bytes that were signed for one place are refused at every other."""
    if subject == other:
        return
    with pytest.raises(SignatureError, match="does not fit"):
        KEYED.unseal(KEYED.seal(body, subject), other)


def test_places_that_look_alike_are_not_alike():
    """Text that moves from one field into the next one makes another signature."""
    alike = [
        signing.Subject("a", "bc"),
        signing.Subject("ab", "c"),
        signing.Subject("a", "b", (1, 2)),
        signing.Subject("a", "b", (12,)),
        signing.Subject("a", "b1", (2,)),
    ]
    assert len({KEYED.seal(b"body", subject) for subject in alike}) == len(alike)


def test_a_body_and_the_last_field_are_apart():
    """A body that goes on where the place ended is another place's body."""
    moved = signing._NUMBER.pack(7)
    assert KEYED.seal(moved, signing.Subject("k", "j", (1,))) != KEYED.seal(
        b"", signing.Subject("k", "j", (1, 7))
    )


def test_an_unknown_key_is_named():
    """A body signed with a key that this process does not have is refused with that key's id and those it has."""
    with pytest.raises(SignatureError, match="signed with the key 'old', and this process believes: new"):
        KEYED.unseal(Keyring(OLD).seal(b"body", HERE), HERE)


def test_another_key_of_the_same_id_is_refused():
    """The id alone is worth nothing."""
    other = Keyring({"new": b"not the new key, but long"})
    with pytest.raises(SignatureError, match="does not fit"):
        KEYED.unseal(other.seal(b"body", HERE), HERE)


def test_unsigned_bytes_are_refused_only_where_signatures_are_required():
    """Without the requirement, bytes without a signature are taken as they are."""
    body = payload.dump(5)
    assert KEYED.unseal(body, HERE) == BARE.unseal(body, HERE) == body
    with pytest.raises(
        SignatureError, match=r"Refused the input of task 3 of job job: it is not signed"
    ) as caught:
        STRICT.unseal(body, HERE)
    assert isinstance(caught.value, PayloadError)


def test_text_in_place_of_bytes_is_refused():
    """SQLite takes text where bytes belong; it is refused like any other change."""
    for keyring in (BARE, KEYED, STRICT):
        with pytest.raises(SignatureError, match="it is no bytes"):
            keyring.unseal("text", HERE)


def test_without_a_key_nothing_is_signed():
    """Who has no key stores bytes as they are, and jobs without a signature."""
    assert BARE.seal(b"body", HERE) == b"body"
    assert BARE.sign_job(new_job()) is None


def test_keys_change_one_after_another():
    """The first key signs; the others are believed, so that what was signed before a change still counts."""
    both = Keyring({**NEW, **OLD})
    assert both.unseal(Keyring(OLD).seal(b"before", HERE), HERE) == b"before"
    assert both.seal(b"body", HERE) == KEYED.seal(b"body", HERE)
    old_job, new = new_job(signature=Keyring(OLD).sign_job(new_job())), both.sign_job(new_job())
    both.check_job(item_of(old_job))
    assert new.startswith("new:")


# ----------------------------------------------------------------------------------------------------- jobs


def item_of(job: NewJob, **changes: object) -> WorkItem:
    """Return a job as a worker would read it."""
    import hashlib

    item = WorkItem(
        job_key=1,
        job_id=job.job_id,
        function=job.function,
        function_hash=hashlib.sha256(job.function).hexdigest(),
        shared_input=job.shared_input,
        run_count=job.run_count,
        has_inputs=job.has_inputs,
        python=job.python,
        signature=job.signature,
        num_tasks=job.num_tasks,
        max_attempts=job.max_attempts,
        continue_on_failure=job.continue_on_failure,
        packages_to_load=job.packages_to_load,
        seconds_left=None,
        execution_timeout_seconds=0,
    )
    return replace(item, **changes)


def signed_job(**options: object) -> NewJob:
    job = new_job(shared_input=b"shared", packages_to_load=("json", "math"), **options)
    return replace(job, signature=KEYED.sign_job(job))


def test_a_signed_job_is_taken():
    """A job that nobody changed is taken, with the requirement and without, and by who has no key."""
    for keyring in (KEYED, STRICT, BARE):
        keyring.check_job(item_of(signed_job()))


@pytest.mark.parametrize(
    "change",
    [
        {"job_id": "another"},
        {"function_hash": "0" * 64},
        {"run_count": 5},
        {"has_inputs": False},
        {"shared_input": None},
        {"packages_to_load": ("json", "math", "antigravity")},
        {"packages_to_load": ()},
        {"packages_to_load": ("json, math",)},
        {"python": "3.4"},
    ],
    ids=str,
)
def test_a_changed_job_is_refused(change):
    """Whatever decides which code runs, and on how much, cannot be changed in a signed job."""
    with pytest.raises(SignatureError, match="Refused the row of job .*: its signature does not fit"):
        KEYED.check_job(item_of(signed_job(), **change))


def test_a_replaced_function_is_named():
    """A body that is not the one of the signed hash is refused as the function."""
    with pytest.raises(SignatureError, match="Refused the function of job j: its bytes are not those"):
        KEYED.check_job(item_of(signed_job(), function=b"another"))


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", "holds none"),
        ("new:", "holds none"),
        ("nonsense", "holds none"),
        ("new:" + "0" * 64, "does not fit"),
        ("old:" + "0" * 64, "signed with the key 'old'"),
        ("new:" + "é" * 64, "holds none"),
    ],
)
def test_a_spoiled_signature_is_refused(signature, reason):
    """A column that holds something else than a fitting signature is refused, with the reason."""
    with pytest.raises(SignatureError, match=reason):
        KEYED.check_job(item_of(signed_job(), signature=signature))


def test_an_unsigned_job_is_refused_only_where_signatures_are_required():
    """The default takes jobs without a signature."""
    for keyring in (KEYED, BARE):
        keyring.check_job(item_of(new_job()))
    with pytest.raises(SignatureError, match="Refused the row of job j: it is not signed"):
        STRICT.check_job(item_of(new_job()))


# -------------------------------------------------------------------------------------------------- settings

LONG = "correct-horse-battery-staple"


def keyring(**values: object) -> Keyring:
    return Keyring.from_settings(Settings(**values))


def key_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_keys_come_from_the_variable_or_the_file(tmp_path):
    """Both ways give the same keys in the same order; a key's text may hold a colon, a base64 pad or a space."""
    awkward = "a+b/c:d=e=with more"
    listed = keyring(signing_keys=f" k1:{LONG}, k2:{awkward} ,")
    file = keyring(signing_key_file=key_file(tmp_path, f"# keys\n\nk1 {LONG}\nk2\t{awkward}  \n"))
    assert listed._keys == file._keys == {"k1": LONG.encode(), "k2": awkward.encode()}
    assert listed.seal(b"", HERE) == file.seal(b"", HERE)


def test_no_settings_no_keys():
    """Without settings there is no key, and nothing is required."""
    assert repr(keyring()) == "Keyring(no keys)"


def test_keys_are_in_no_repr():
    """A keyring shows the ids of its keys, not the keys."""
    shown = repr(keyring(signing_keys=f"k1:{LONG},k2:{LONG}", require_signature=True))
    assert shown == "Keyring(k1, k2, required)"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o666])
def test_a_file_that_others_may_use_is_refused(tmp_path, mode):
    """A key file is its owner's alone; the message says which mode it has and what to run."""
    path = key_file(tmp_path, f"k1 {LONG}", mode)
    with pytest.raises(SettingsError, match=f"mode {mode:o}.*chmod 600 {path}"):
        keyring(signing_key_file=path)
    Path(path).chmod(stat.S_IRUSR)
    assert repr(keyring(signing_key_file=path)) == "Keyring(k1)"


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (LONG, "key 1 is not as it should be; an entry is: id:key"),
        (f"k1:{LONG},{LONG}", "key 2 is not as it should be"),
        (f":{LONG}", "key 1 is not as it should be"),
        (f"k 1:{LONG}", "key 1 is not as it should be"),
        (f"{'k' * 65}:{LONG}", "key 1 is not as it should be"),
        ("k1:short", "the key 'k1' has less than 16 characters"),
        (f"k1:{LONG},k1:{LONG}", "two keys have the id 'k1'"),
    ],
)
def test_unusable_keys_are_refused_without_showing_them(listed, message):
    """The message says what is wrong with which key, and never shows a key."""
    with pytest.raises(SettingsError, match=message) as caught:
        keyring(signing_keys=listed)
    assert LONG not in str(caught.value) and "short" not in str(caught.value)


def test_unusable_files_are_refused(tmp_path):
    """A file that is missing, empty or of something else is an error that names it; so are both settings at once."""
    with pytest.raises(SettingsError, match="no_such_file cannot be read"):
        keyring(signing_key_file=str(tmp_path / "no_such_file"))
    with pytest.raises(SettingsError, match="has no keys"):
        keyring(signing_key_file=key_file(tmp_path, "# none yet\n"))
    (tmp_path / "keys").write_bytes(b"k1 \xff\xfe\xfd")
    with pytest.raises(SettingsError, match="cannot be read"):
        keyring(signing_key_file=str(tmp_path / "keys"))
    with pytest.raises(SettingsError, match="Keep one of them"):
        keyring(signing_key_file=key_file(tmp_path, f"k1 {LONG}"), signing_keys=f"k1:{LONG}")


def test_a_requirement_without_a_key_is_refused():
    """Who requires signatures must be able to check them."""
    with pytest.raises(SettingsError, match="RXSQL_REQUIRE_SIGNATURE is 1, and there is no key"):
        keyring(require_signature=True)
