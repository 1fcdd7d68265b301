"""ODBC strings: read and written without loss, and turned into what today's drivers accept."""

from __future__ import annotations

import os
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from rxsql.errors import StoreError
from rxsql.store.dialects.odbc import from_url, label, normalise, parse, to_mssql_python, written
from rxsql.store.engine import connect
from rxsql.storename import redacted

DRIVER_18 = "ODBC Driver 18 for SQL Server"
DRIVER_17 = "ODBC Driver 17 for SQL Server"
REVOSCALEPY = "Driver=SQL Server;Server=.;Database=RevoTestDb;Trusted_Connection=True;"

awkward = st.text(alphabet=";{}= abcPWD\\'\"@&%+,\n\té🔑", max_size=12)
keywords = st.text(alphabet="abcUIDPWD _", min_size=1, max_size=8).map(str.strip).filter(bool)


def normalised(text: str, *drivers: str) -> dict[str, str]:
    return parse(normalise(text, drivers or (DRIVER_18,)))


# ------------------------------------------------------------------------------------------- reading and writing


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        (" ; ", {}),
        ("Server=.", {"Server": "."}),
        ("Server=.;", {"Server": "."}),
        (";;Server=.;;UID=me;;", {"Server": ".", "UID": "me"}),
        (" Server = . ;\n  UID = my name ;\n", {"Server": ".", "UID": "my name"}),
        ("PWD={a;b}", {"PWD": "a;b"}),
        ("PWD={a}}b}", {"PWD": "a}b"}),
        ("PWD={}}}", {"PWD": "}"}),
        ("PWD={{x}", {"PWD": "{x"}),
        ("PWD={ a } ;UID=me", {"PWD": " a ", "UID": "me"}),
        ("PWD={}", {"PWD": ""}),
        ("PWD=;UID=me", {"PWD": "", "UID": "me"}),
        ("PWD=a=b==c", {"PWD": "a=b==c"}),
        ("PWD=a{b}c", {"PWD": "a{b}c"}),
        ("PWD={a=b}", {"PWD": "a=b"}),
        ("Server=first;SERVER=second;server=third", {"Server": "first"}),
        ("Driver={ODBC Driver 18 for SQL Server}", {"Driver": DRIVER_18}),
    ],
)
def test_read(text, values):
    """Braces, blanks, case, empty parts and repeated keywords are read as ODBC reads them."""
    assert parse(text) == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("UID=me;PWD=topsecret;hidden;Server=.", "the part after PWD has no `=`"),
        ("UID=me;PWD", "the part PWD has no `=`"),
        ("UID=me;PWD={topsecret;Server=.", "the part PWD has a brace that is not closed"),
        ("PWD={topsecret}hidden;Server=.", "the part PWD has a brace that is not closed, or text behind it"),
        ("PWD={topsecret}};Server=.", "the part PWD has a brace that is not closed"),
        ("PWD=a;hidden={topsecret", "the part after PWD has a brace that is not closed"),
        ("Server=.;=topsecret", "the part after Server has no keyword"),
        ("hid{den=topsecret", "a part has a brace in its keyword"),
    ],
)
def test_malformed(text, says):
    """A malformed string is refused with the part's place, and without anything that may be a password."""
    with pytest.raises(StoreError) as caught:
        parse(text)
    assert says in str(caught.value)
    assert "topsecret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


@given(st.dictionaries(keywords, awkward, max_size=4))
def test_round_trip(values):
    """Whatever the values have in them, they are read as they were written."""
    first = {}
    for key, value in values.items():
        if key.lower() not in {seen.lower() for seen in first}:
            first[key] = value
    assert parse(written(values)) == first


@given(st.text(alphabet=";{}= abP\n", max_size=20))
def test_any_text_is_read_or_refused(text):
    """A text is either read, or refused as malformed; what was read can be written and read again."""
    try:
        values = parse(text)
    except StoreError:
        return
    assert parse(written(values)) == values


@given(awkward, awkward)
def test_no_password_is_shown(before, after):
    """A well-formed string's password stands neither in its label nor in its redacted form."""
    text = written({"Server": "db01", "PWD": f"{before}s3cret{after}", "Database": "jobs"})
    assert "s3cret" not in redacted(text)
    assert redacted(text).endswith(";Database=jobs")
    assert label(text) == "SQL Server db01/jobs"


@given(awkward.filter(bool), awkward.filter(bool))
def test_user_and_password_are_kept(user, password):
    """Whatever the user and the password have in them reaches either driver as it is."""
    text = written({"Server": ".", "User ID": user, "Password": password})
    for result in (normalise(text, [DRIVER_18]), to_mssql_python(text)):
        assert (parse(result)["UID"], parse(result)["PWD"]) == (user, password)


# ----------------------------------------------------------------------------------------------------- normalising


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (
            REVOSCALEPY,
            "Driver={ODBC Driver 18 for SQL Server};Server=.;Database=RevoTestDb;Trusted_Connection=yes;"
            "APP=rxsql;LongAsMax=yes",
        ),
        (
            "DRIVER=SQL Server;SERVER=localhost;DATABASE=TextClassification_Py;TRUSTED_CONNECTION=Yes",
            "Driver={ODBC Driver 18 for SQL Server};Server=localhost;Database=TextClassification_Py;"
            "Trusted_Connection=yes;APP=rxsql;LongAsMax=yes",
        ),
        (
            "Data Source=tcp:db01,1433;Initial Catalog=jobs;User ID=me;Password=a{b;Application Name=mine",
            "Driver={ODBC Driver 18 for SQL Server};Server=tcp:db01,1433;Database=jobs;UID=me;PWD={a{b};APP=mine;"
            "LongAsMax=yes",
        ),
        ("DSN=mine;Uid=me;Pwd=x", "DSN=mine;UID=me;PWD=x;APP=rxsql;LongAsMax=yes"),
    ],
)
def test_whole_strings(text, result):
    """revoscalepy's and ADO.NET's strings become Driver 18's."""
    assert normalise(text, [DRIVER_18]) == result


@pytest.mark.parametrize(
    ("part", "keyword", "value"),
    [
        ("data source=db01", "Server", "db01"),
        ("Address=db01", "Server", "db01"),
        ("Addr=db01", "Server", "db01"),
        ("Network Address=db01", "Server", "db01"),
        ("NETWORK  ADDRESS=db01", "Server", "db01"),
        ("Server=(local)", "Server", "(local)"),
        ("Server=.\\SQLEXPRESS", "Server", ".\\SQLEXPRESS"),
        ("Server=tcp:db01,1433", "Server", "tcp:db01,1433"),
        ("Server={tcp:db01,1433}", "Server", "tcp:db01,1433"),
        ("Server=db01;Port=1444", "Server", "db01,1444"),
        ("Server=db01,1433;Port=1444", "Server", "db01,1433"),
        ("Server=first;Data Source=second", "Server", "first"),
        ("Data Source=first;Server=second", "Server", "first"),
        ("Server=.;Initial Catalog=jobs", "Database", "jobs"),
        ("Server=.;uid=me", "UID", "me"),
        ("Server=.;User ID=me", "UID", "me"),
        ("Server=.;User=me", "UID", "me"),
        ("Server=.;pwd=x", "PWD", "x"),
        ("Server=.;PASSWORD=x", "PWD", "x"),
        ("Server=.;Trusted_Connection=TRUE", "Trusted_Connection", "yes"),
        ("Server=.;trusted connection=true", "Trusted_Connection", "yes"),
        ("Server=.;Integrated Security=SSPI", "Trusted_Connection", "yes"),
        ("Server=.;Integrated Security=False", "Trusted_Connection", "no"),
        ("Server=.;Encrypt=True", "Encrypt", "yes"),
        ("Server=.;Encrypt=False", "Encrypt", "no"),
        ("Server=.;Encrypt=Mandatory", "Encrypt", "Mandatory"),
        ("Server=.;Encrypt=optional", "Encrypt", "optional"),
        ("Server=.;Encrypt=strict", "Encrypt", "strict"),
        ("Server=.;TrustServerCertificate=True", "TrustServerCertificate", "yes"),
        ("Server=.;Trust Server Certificate=false", "TrustServerCertificate", "no"),
        ("Server=.;MultiSubnetFailover=True", "MultiSubnetFailover", "yes"),
        ("Server=.;Application Intent=Read Only", "ApplicationIntent", "ReadOnly"),
        ("Server=.;TransparentNetworkIPResolution=True", "TransparentNetworkIPResolution", "Enabled"),
        ("Server=.;Packet Size=8192", "PacketSize", "8192"),
        ("Server=.;Current Language=us_english", "Language", "us_english"),
        ("Server=.;Workstation ID=desk", "WSID", "desk"),
        ("Server=.;LongAsMax=no", "LongAsMax", "no"),
        ("Server=.;Unheard Of=True", "Unheard Of", "True"),
    ],
)
def test_keywords_and_values(part, keyword, value):
    """Each synonym becomes Microsoft's keyword, each True or False the word that it takes; the first one counts."""
    values = normalised(part)
    assert values[keyword] == value
    assert len(values) == len({key.lower() for key in values})


@pytest.mark.parametrize(
    "part",
    ["MultipleActiveResultSets=True", "MARS_Connection=yes", "Trusted_Connection=", "UID=;PWD={}", "Port=9"],
)
def test_what_is_left_out(part):
    """Several active result sets, empty values and a port beside one in the server's name are not handed on."""
    assert normalised(f"Server=.,1;{part}").keys() == {"Driver", "Server", "APP", "LongAsMax"}


@given(
    st.sampled_from(
        ["", "Encrypt=yes", "Encrypt=True", "Encrypt=strict", "Encrypt=no", "TrustServerCertificate=No"]
    ),
    st.sampled_from(["", "Driver=SQL Server", f"Driver={DRIVER_17}", "Driver=FreeTDS"]),
    st.sets(st.sampled_from([DRIVER_18, DRIVER_17, "FreeTDS", "SQL Server"])),
)
def test_nothing_is_trusted_silently(part, driver, drivers):
    """Encryption and trust are what the string says, with every driver; what it does not say is not added."""
    values = normalised(f"Server=.;{driver};{part}", *sorted(drivers))
    asked = parse(part.replace("True", "yes").replace("No", "no"))
    assert {key: values[key] for key in values if key in {"Encrypt", "TrustServerCertificate"}} == asked
    if asked.get("Encrypt", "no") != "no" and values["Driver"] == "FreeTDS":
        assert values["Encryption"] == "require"
        assert driver == "Driver=FreeTDS"


@pytest.mark.parametrize(
    ("asked", "installed", "chosen"),
    [
        ("SQL Server", [DRIVER_17, DRIVER_18], DRIVER_18),
        ("SQL Server", [DRIVER_18, "ODBC Driver 19 for SQL Server"], "ODBC Driver 19 for SQL Server"),
        (DRIVER_17, [DRIVER_18, "ODBC Driver 11 for SQL Server"], DRIVER_18),
        ("SQL Server", ["ODBC Driver 13 for SQL Server"], DRIVER_18),
        ("{SQL Server}", [DRIVER_17], DRIVER_17),
        ("sql server", ["FreeTDS"], "FreeTDS"),
        ("SQL Server", ["SQL Server", DRIVER_18], "SQL Server"),
        ("SQL Server", [], DRIVER_18),
        ("SQL Server", ["PostgreSQL Unicode"], DRIVER_18),
        ("SQL Server Native Client 10.0", [DRIVER_18], DRIVER_18),
        ("{SQL Server Native Client 11.0}", [DRIVER_18], DRIVER_18),
        ("SQL Native Client", [DRIVER_18], DRIVER_18),
        ("SQLNCLI11", [DRIVER_18], DRIVER_18),
        ("SQLNCLI11.1", [DRIVER_18], DRIVER_18),
        ("ODBC Driver 11 for SQL Server", [DRIVER_18], DRIVER_18),
        ("ODBC Driver 13 for SQL Server", [DRIVER_18], DRIVER_18),
        ("ODBC Driver 13.1 for SQL Server", [DRIVER_17], DRIVER_17),
        (DRIVER_17, [DRIVER_18], DRIVER_18),
        (DRIVER_17, [DRIVER_18, DRIVER_17], DRIVER_17),
        ("odbc driver 17 for sql server", [DRIVER_17], DRIVER_17),
        (DRIVER_18, [DRIVER_17], DRIVER_18),
        ("/opt/lib/libmsodbcsql-18.so", [DRIVER_18], "/opt/lib/libmsodbcsql-18.so"),
        ("Somebody's Driver", [DRIVER_18], "Somebody's Driver"),
    ],
)
def test_driver(asked, installed, chosen):
    """A driver of revoscalepy's days gives way to the best installed one, unless it is there; any other stays."""
    assert normalised(f"Driver={asked};Server=.", *(installed or ["none"]))["Driver"] == chosen


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("Server=.", "FreeTDS"), ("Server=.;Encrypt=no", "FreeTDS"), ("Server=.;Encrypt=yes", DRIVER_18)],
)
def test_freetds_is_not_chosen_where_encryption_is_wanted(text, chosen):
    """FreeTDS does not know Encrypt, so it never stands in for a driver that does."""
    assert normalised(text, "FreeTDS")["Driver"] == chosen


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("tcp:db01,1433", "db01", "1433"),
        ("db01,1433;Port=9", "db01", "1433"),
        ("db01;Port=9", "db01", "9"),
        (".", "localhost", None),
        ("(LOCAL)", "localhost", None),
        ("db01\\SQLEXPRESS", "db01\\SQLEXPRESS", None),
    ],
)
def test_server_for_freetds(server, host, port):
    """FreeTDS gets the host and the port apart, and this machine by a name."""
    values = normalised(f"Driver=FreeTDS;Server={server}")
    assert (values["Server"], values.get("Port")) == (host, port)


@pytest.mark.parametrize("text", ["", "Database=jobs;UID=me", "Driver=SQL Server;Server=", "Port=1433"])
def test_a_server_must_be_named(text):
    """Without a server, or a data source, there is nothing to connect to: said before a driver says it."""
    for read in (lambda: normalise(text, []), lambda: to_mssql_python(text), lambda: label(text)):
        with pytest.raises(StoreError, match="names no server"):
            read()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (REVOSCALEPY, "SQL Server ./RevoTestDb"),
        (
            "Data Source=tcp:db01,1433;Initial Catalog=RevoTestDb;UID=me;PWD=x",
            "SQL Server db01,1433/RevoTestDb",
        ),
        ("Server=.\\SQLEXPRESS", "SQL Server .\\SQLEXPRESS"),
        ("DSN=mine;Database=jobs", "SQL Server DSN mine/jobs"),
    ],
)
def test_label(text, shown):
    """A label has the server and the database."""
    assert label(text) == shown


# ------------------------------------------------------------------------------------- mssql-python, and from URLs


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (REVOSCALEPY, "Server=.;Database=RevoTestDb;Trusted_Connection=yes"),
        (
            "Driver=x;Data Source=h,1;User ID=me;Password={a;b}}c};Encrypt=True;APP=mine;LongAsMax=yes;WSID=w;x=y",
            "Server=h,1;UID=me;PWD={a;b}}c};Encrypt=yes",
        ),
        ("Server=h;Port=1444;MARS_Connection=no;UID=", "Server=h,1444"),
    ],
)
def test_for_mssql_python(text, result):
    """mssql-python gets only keywords that it knows, each with a value."""
    assert to_mssql_python(text) == result


def test_mssql_python_knows_no_data_source():
    """A string with a DSN alone cannot be given to mssql-python, and says what can."""
    with pytest.raises(StoreError, match=r"Name the server: Server=host,1433"):
        to_mssql_python("DSN=mine;UID=me;PWD=x")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "mssql+pyodbc://me:p%40%3Bs%7D@db01:1444/jobs?driver=ODBC+Driver+17+for+SQL+Server&Encrypt=yes",
            "Server=db01,1444;Database=jobs;UID=me;PWD={p@;s}}};driver={ODBC Driver 17 for SQL Server};Encrypt=yes",
        ),
        ("mssql+mssqlpython://me:x@db01/jobs?TrustServerCertificate=yes",
         "Server=db01;Database=jobs;UID=me;PWD=x;TrustServerCertificate=yes"),
        ("mssql+pyodbc://db01/jobs", "Server=db01;Database=jobs;Trusted_Connection=yes"),
        ("mssql+pyodbc://db01/jobs?authentication=ActiveDirectoryMsi", "Server=db01;Database=jobs;authentication=ActiveDirectoryMsi"),
        ("mssql+pyodbc://me:x@mine", "DSN=mine;UID=me;PWD=x"),
        ("mssql+pyodbc://me:x@db01/?driver=FreeTDS", "Server=db01;UID=me;PWD=x;driver=FreeTDS"),
        ("mssql+pyodbc://me:x@db01:1433", "Server=db01,1433;UID=me;PWD=x"),
        ("mssql+pyodbc://me:x@db01/jobs?autocommit=true&odbc_autotranslate=No&Encrypt=yes&Encrypt=no",
         "Server=db01;Database=jobs;UID=me;PWD=x;AutoTranslate=No;Encrypt=yes"),
        ("mssql+pyodbc:///?odbc_connect=Driver%3D%7BSQL+Server%7D%3BServer%3D.%3BPWD%3D%7Ba%2Bb%3Bc%7D",
         "Driver={SQL Server};Server=.;PWD={a+b;c}"),
    ],
)  # fmt: skip
def test_from_a_url(url, text):
    """An SQLAlchemy URL says what its ODBC string says."""
    parts = sa.make_url(url)
    made = from_url(parts.username, parts.password, parts.host, parts.port, parts.database, parts.query)
    assert parse(made) == parse(text)
    assert "Server" in normalised(made) or "DSN" in normalised(made)


def test_a_password_that_was_not_escaped():
    """What follows an @ of a password would be taken for the server, and shown as such: it is refused."""
    parts = sa.make_url("mssql+pyodbc://me:p@s3cret@host/jobs")
    with pytest.raises(StoreError, match="%40") as caught:
        from_url(parts.username, parts.password, parts.host, parts.port, parts.database, parts.query)
    assert "s3cret" not in str(caught.value)


@given(awkward.filter(bool), awkward.filter(bool))
def test_any_user_and_password_of_a_url(user, password):
    """Whatever a URL's user and password are, they reach the string as they are."""
    url = sa.make_url(sa.URL.create("mssql+pyodbc", user, password, "h", 1433, "d").render_as_string(False))
    values = parse(from_url(url.username, url.password, url.host, url.port, url.database, url.query))
    assert values == {"Server": "h,1433", "Database": "d", "UID": user, "PWD": password}


# --------------------------------------------------------------------------------------------- the drivers' word

SPELLINGS = [
    "Encrypt=True;TrustServerCertificate=True",
    "Encrypt=False;TrustServerCertificate=False",
    "Encrypt=Optional;ColumnEncryption=False",
    "Encrypt=Mandatory;Integrated Security=False;MultipleActiveResultSets=True",
    "Encrypt=no;MultiSubnetFailover=True;Application Intent=Read Only;AnsiNPW=True;QuotedId=1;AutoTranslate=0",
    "Encrypt=no;TransparentNetworkIPResolution=False;UseFMTONLY=False;Regional=False;LongAsMax=True",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_driver_18_accepts_what_was_normalised(spelling):
    """Microsoft's driver takes every keyword's value, and gets as far as the network: nobody listens there."""
    pyodbc = pytest.importorskip(
        "pyodbc", reason="pyodbc, or the library libodbc, is not there", exc_type=ImportError
    )
    driver = os.environ.get("RXSQL_TEST_ODBC_DRIVER") or next(iter({DRIVER_18} & {*pyodbc.drivers()}), None)
    if driver is None:
        pytest.skip("Microsoft's ODBC driver is not installed, and RXSQL_TEST_ODBC_DRIVER names none")
    text = f"Driver={driver};Data Source=127.0.0.1;Port=9;User ID=me;Password=x;{spelling}"
    with pytest.raises(pyodbc.OperationalError, match="Login timeout expired|TCP Provider"):
        pyodbc.connect(normalise(text, pyodbc.drivers()), timeout=1)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_mssql_python_accepts_what_was_normalised(spelling):
    """mssql-python takes every keyword, and gets as far as the network: nobody listens there."""
    driver = pytest.importorskip(
        "mssql_python", reason="mssql-python, or a library it needs, is not there", exc_type=ImportError
    )
    text = f"Driver=SQL Server;Data Source=127.0.0.1;Port=9;User ID=me;Password=x;{spelling}"
    with pytest.raises(driver.OperationalError) as caught:
        driver.connect(to_mssql_python(text), timeout=1)
    if "Failed to load the driver" in str(caught.value):
        pytest.skip("a library that the driver of mssql-python needs is not there")
    assert caught.match("Login timeout expired|TCP Provider")


def test_a_driver_that_sqlalchemy_does_not_know():
    """A driver for which this SQLAlchemy has no dialect is told as such, with those that it has."""
    pytest.importorskip("pyodbc", reason="pyodbc, or the library libodbc, is not there", exc_type=ImportError)
    with pytest.raises(
        StoreError, match=r"no dialect for mssql\+nobody. Name mssql\+pyodbc or mssql\+mssqlpython"
    ):
        connect("mssql+nobody://me:x@h/jobs")


def test_the_extra_brings_the_dialect():
    """What the extra mssql-python asks for has SQLAlchemy's dialect for it, which came with 2.1, and fits the rest."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    needed = [Requirement(line) for line in project["optional-dependencies"]["mssql-python"]]
    (extra,) = [requirement.specifier for requirement in needed if requirement.name == "sqlalchemy"]
    (usual,) = [
        requirement.specifier
        for requirement in map(Requirement, project["dependencies"])
        if requirement.name == "sqlalchemy"
    ]
    assert [version in extra & usual for version in ("2.0.58", "2.1.0", "2.1.9")] == [False, True, True]
    if version("sqlalchemy") in extra:
        assert sa.make_url("mssql+mssqlpython://").get_dialect().driver == "mssqlpython"
