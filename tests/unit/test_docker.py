"""The containers and the workflow: what can be known of docker/ and ci.yml without a Docker engine, and their scripts, run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import wait_until

from rxsql.cli.app import make_command

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
NOT_OURS = {".env", "secrets"}  # what a user of compose.yaml has there; git has it not
FILES = sorted(
    path
    for path in (*DOCKER.rglob("*"), WORKFLOW)
    if path.is_file() and path.relative_to(ROOT).parts[1] not in NOT_OURS
)
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OWN_IMAGES = ("schema", "worker", "client", "sqlcmd")
DOCKERFILE = (DOCKER / "worker.Dockerfile").read_text(encoding="utf-8")
KEDA = {part["kind"]: part for part in yaml.safe_load_all((DOCKER / "keda" / "scaledjob.yaml").read_text())}
CI = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ------------------------------------------------------------------------------------------------------ passwords

# Where a password's value stands: read from a file or variable, or left out with "…".
_VALUE = re.compile(r"""(?i)(?:pwd|password)["']?[ \t]*[=:][ \t]*(?=\S)(?!N?["']?(?:Rx-)?\{?[$…])(\S+)""")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("UID=sa;PWD=hunter2;", ["hunter2;"]),
        ("MSSQL_SA_PASSWORD: Hunter2", ["Hunter2"]),
        ("WITH PASSWORD = N'hunter2'", ["N'hunter2'"]),
        ('PASSWORD="hunter2"', ['"hunter2"']),
        ("PWD={$(cat file)};", []),
        ("WITH PASSWORD = N'$(WORKER_PASSWORD)'", []),
        ('PASSWORD="$$(cat /run/secrets/sa_password)"', []),
        ("  sa_password:\n    file: x", []),
    ],
)
def test_a_password_in_a_text_is_found(text: str, found: list[str]) -> None:
    """The search below finds a password in each notation, and takes no variable for one."""
    assert _VALUE.findall(text) == found


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_no_file_has_a_password(path: Path) -> None:
    """No file of docker/ and no workflow has a password written down."""
    assert _VALUE.findall(path.read_text(encoding="utf-8")) == []


def test_passwords_are_secrets_in_files_that_git_and_docker_leave_out() -> None:
    """Each password is a file in secrets/, which neither a commit nor an image gets."""
    assert {name: secret["file"] for name, secret in COMPOSE["secrets"].items()} == {
        name: f"secrets/{name}" for name in ("sa_password", "worker_password", "client_password")
    }
    assert {".env", "secrets/"} <= set((DOCKER / ".gitignore").read_text().split())
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored.index("!docker") < ignored.index("docker/.env") < ignored.index("docker/secrets")


def test_only_the_server_and_the_installer_get_the_password_of_sa() -> None:
    """A worker and a client know their own password and no other."""
    holders = {name: set(service["secrets"]) for name, service in SERVICES.items()}
    assert {name for name, secrets in holders.items() if "sa_password" in secrets} == {"database", "schema"}
    assert holders["worker"] == {"worker_password"}
    assert holders["client"] == holders["sqlcmd"] == {"client_password"}


def test_each_login_has_its_own_role() -> None:
    """The logins in the services' ODBC strings are those that logins.sql makes, each a member of its role only."""
    logins = (DOCKER / "logins.sql").read_text(encoding="utf-8")
    members = re.findall(r"ALTER ROLE (\w+) ADD MEMBER (\w+);", logins)
    assert members == [("rx_worker", "rxsql_worker"), ("rx_client", "rxsql_client")]
    users = {
        name: re.search(r"UID=(\w+);", service["environment"]["RXSQL_STORE"])[1]
        for name, service in SERVICES.items()
        if "RXSQL_STORE" in service["environment"]
    }
    assert users == {"schema": "sa", "worker": "rxsql_worker", "client": "rxsql_client"}


@pytest.mark.parametrize("role", ["rx_worker", "rx_client", "rx_reader"])
def test_the_roles_are_made_by_the_schema(role: str) -> None:
    """The roles that docker/ names are made by sql/mssql/roles.sql."""
    assert role in (ROOT / "sql" / "mssql" / "roles.sql").read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------------------- compose.yaml


def test_the_server_is_sql_server_2022_developer_with_the_users_own_consent() -> None:
    """The licence is accepted by whoever starts it: compose.yaml stops without ACCEPT_EULA, and sets no default."""
    database = SERVICES["database"]
    assert database["image"] == "mcr.microsoft.com/mssql/server:2022-latest"
    assert database["environment"]["MSSQL_PID"] == "Developer"
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"ACCEPT_EULA: (\S{15})", text)) == {"${ACCEPT_EULA:?"}
    assert re.search(r"^ACCEPT_EULA=$", (DOCKER / ".env.example").read_text(), re.MULTILINE)


def test_every_variable_is_explained() -> None:
    """.env.example has the variables that compose.yaml reads, and no other."""
    read = set(re.findall(r"(?<!\$)\$\{(\w+)", (DOCKER / "compose.yaml").read_text(encoding="utf-8")))
    assert set(re.findall(r"^(\w+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE)) == read


def test_the_installer_runs_once_between_server_and_workers() -> None:
    """`schema` waits for a healthy server and is not restarted; workers wait until it has ended well."""
    assert SERVICES["schema"]["restart"] == "no"
    assert SERVICES["schema"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert SERVICES["worker"]["depends_on"] == {"schema": {"condition": "service_completed_successfully"}}


def test_nothing_stands_in_the_way_of_several_workers() -> None:
    """`worker` has neither a name nor a port nor a volume that only one container could have."""
    assert not {"container_name", "hostname", "ports", "volumes"} & set(SERVICES["worker"])


@pytest.mark.parametrize("name", list(SERVICES))
def test_every_service_has_a_memory_limit(name: str) -> None:
    """No container can take all of the host's memory."""
    assert re.fullmatch(r"\d+[mg]|\$\{\w+:-\d+[mg]\}", SERVICES[name]["mem_limit"])


@pytest.mark.parametrize("name", OWN_IMAGES)
def test_our_containers_have_few_rights(name: str) -> None:
    """Containers of our images cannot write but to /tmp, gain rights, leave zombies, or start processes without end."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["init"] is True
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert "user" not in service  # the image's, which is not root
    assert not {"privileged", "cap_add"} & set(service)


def test_a_stopped_worker_has_time_to_end_what_it_began() -> None:
    """Docker's ten seconds between SIGTERM and SIGKILL are prolonged."""
    assert SERVICES["worker"]["stop_grace_period"] == "2m"


def test_the_servers_health_is_asked_with_sqlcmd() -> None:
    """`database` is healthy when a login and a query succeed, with the tools' current path and -C."""
    [_, command] = SERVICES["database"]["healthcheck"]["test"]
    assert "/opt/mssql-tools18/bin/sqlcmd -C " in command
    assert "SELECT 1" in command


def test_the_server_is_seen_by_this_machine_only() -> None:
    """The published port is bound to the loopback address."""
    assert [port.partition(":")[0] for port in SERVICES["database"]["ports"]] == ["127.0.0.1"]


def _shell_texts() -> Iterator[str]:
    for service in SERVICES.values():
        words = [*service.get("entrypoint", []), *service.get("command", [])]
        if "-c" in words:
            yield words[words.index("-c") + 1].replace("$$", "$")
        test = service.get("healthcheck", {}).get("test", [])
        yield from [test[1].replace("$$", "$")] if test[:1] == ["CMD-SHELL"] else []


@pytest.mark.parametrize("text", list(_shell_texts()))
def test_shell_in_compose_is_well_formed_and_escaped(text: str) -> None:
    """Each inline command parses as shell, and reads its secret in the container, not in Compose."""
    subprocess.run(["sh", "-n", "-c", text], check=True)
    assert '"$(cat /run/secrets/' in text


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `docker compose … config`, which needs the client with its plugin and no engine."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("there is no `docker compose` here")

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if name != "ACCEPT_EULA"}
        command = [docker, "compose", "--env-file", os.devnull, "-f", str(DOCKER / "compose.yaml")]
        return subprocess.run(
            [*command, "--profile", "tools", "config", "--quiet"],
            env=clean | variables,
            capture_output=True,
            text=True,
        )

    return run


def test_compose_accepts_the_file(compose: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`docker compose config` finds no fault, and refuses to go on without ACCEPT_EULA."""
    accepted = compose(ACCEPT_EULA="Y")
    assert (accepted.returncode, accepted.stderr) == (0, "")
    refused = compose()
    assert refused.returncode
    assert "set ACCEPT_EULA=Y in .env" in refused.stderr


# ------------------------------------------------------------------------------------------------------ the image


def _stages() -> dict[str, str]:
    """Return the Dockerfile's stages by name, without comments and with continued lines joined."""
    text = re.sub(r"^[ \t]*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    parts = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]
    return {re.match(r"FROM \S+ AS (\w+)", part)[1]: part for part in parts}


def test_the_image_is_debian_slim_with_the_clients_python() -> None:
    """Both stages begin with the slim image of the Python that a build argument names, by default the oldest served."""
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].strip(">=")
    assert f"ARG PYTHON={oldest}\n" in DOCKERFILE
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases == ["python:${PYTHON}-slim-bookworm", "python:${PYTHON}-slim-bookworm", "worker"]


@pytest.mark.parametrize("stage", ["worker", "schema"])
def test_an_image_does_not_run_as_root(stage: str) -> None:
    """The last user of each image is a number other than root's, as Kubernetes wants it."""
    users = re.findall(r"^USER (\S+)", _stages()[stage], re.MULTILINE)
    assert users[-1] == "10001:10001"


def test_the_image_says_how_it_is() -> None:
    """The worker's image has a health check and labels, and starts a worker through the entry point."""
    worker = _stages()["worker"]
    assert re.search(
        r'^HEALTHCHECK .*CMD \["rxsql-entrypoint", "python", "/usr/local/lib/rxsql/healthy.py"\]',
        worker,
        re.M,
    )
    assert re.search(r"^LABEL org\.opencontainers\.image\.title=", worker, re.MULTILINE)
    assert 'ENTRYPOINT ["rxsql-entrypoint"]' in worker
    assert 'CMD ["rxsql", "worker"]' in worker


def test_microsofts_packages_are_verified_by_their_own_key() -> None:
    """The repository's key is good for that repository alone, and nothing switches the check off."""
    worker = _stages()["worker"]
    assert (
        "signed-by=/usr/share/keyrings/microsoft.asc] https://packages.microsoft.com/debian/12/prod" in worker
    )
    assert not re.search(r"apt-key|trusted|allow-unauthenticated|--insecure|http://", DOCKERFILE)


def test_the_wheels_stay_out_of_the_image_and_so_do_compilers() -> None:
    """rxsql comes as wheels from another stage, offline; the image installs no compiler, and its build looks for one."""
    worker = _stages()["worker"]
    assert "--mount=type=bind,from=wheels" in worker
    assert "pip install --no-cache-dir --no-index --no-deps /wheels/*.whl" in worker
    assert "if command -v cc gcc g++ make" in worker
    packages = " ".join(re.findall(r"apt-get install ([^&]*)", "".join(_stages().values()))).split()
    packages = [word for word in packages if not word.startswith("--")]
    assert packages == ["libgssapi-krb5-2", "msodbcsql18", "unixodbc", "mssql-tools18"]


def test_what_the_image_copies_is_in_its_context() -> None:
    """Each file that the Dockerfile copies exists, and .dockerignore lets it through."""
    copied = [
        word
        for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
        if not word.startswith("--")
    ]
    assert {"rxsql", "sql", "docker/entrypoint.sh"} <= set(copied)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in copied:
        assert (ROOT / name).exists()
        assert name.partition("/")[0] in allowed


# ----------------------------------------------------------------------------------------------------------- KEDA


def test_keda_starts_workers_that_end_when_idle() -> None:
    """The ScaledJob runs `rxsql worker --exit-when-idle`, not as root, and starts one for as many tasks as it has slots."""
    spec = KEDA["ScaledJob"]["spec"]
    pod = spec["jobTargetRef"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["args"] == ["rxsql", "worker", "--exit-when-idle"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["restartPolicy"] == "Never"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "memory" in container["resources"]["limits"]
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    [trigger] = spec["triggers"]
    assert trigger["metadata"]["targetValue"] == values["RXSQL_SLOTS"]
    assert (spec["pollingInterval"], spec["maxReplicaCount"]) == (10, 20)


def test_keda_reads_the_view_made_for_it_with_a_secret() -> None:
    """The trigger reads one number from the view, and its connection string comes from a Kubernetes secret."""
    [trigger] = KEDA["ScaledJob"]["spec"]["triggers"]
    assert trigger["type"] == "mssql"
    assert trigger["metadata"]["query"] == "SELECT depth FROM rx.queue_depth"
    assert trigger["authenticationRef"]["name"] == KEDA["TriggerAuthentication"]["metadata"]["name"]
    [reference] = KEDA["TriggerAuthentication"]["spec"]["secretTargetRef"]
    assert reference["parameter"] == "connectionString"
    views = (ROOT / "sql" / "mssql" / "views.sql").read_text(encoding="utf-8")
    assert re.search(r"CREATE (OR ALTER )?VIEW rx\.queue_depth\b.*\bdepth\b", views, re.DOTALL)


# ------------------------------------------------------------------------------------------------------- workflow


def test_the_workflow_runs_the_gate_on_every_python_that_is_served() -> None:
    """Job `gate` runs `.ci/run`, on the versions of pyproject's classifiers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    served = [text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)]
    gate = CI["jobs"]["gate"]
    assert gate["strategy"]["matrix"]["python"] == served
    assert "bash .ci/run" in [step.get("run") for step in gate["steps"]]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_workflow_runs_the_suite_on_real_servers() -> None:
    """Job `mssql` starts SQL Server 2022 and 2025, names them in RXSQL_TEST_MSSQL, and runs the whole suite."""
    job = CI["jobs"]["mssql"]
    assert job["strategy"]["matrix"]["server"] == ["2022", "2025"]
    assert job["services"]["mssql"]["image"] == "mcr.microsoft.com/mssql/server:${{ matrix.server }}-latest"
    assert job["env"]["RXSQL_TEST_MSSQL"].startswith("Driver={ODBC Driver 18 for SQL Server};")
    commands = [step.get("run", "") for step in job["steps"]]
    assert any("msodbcsql18" in command for command in commands)
    assert any(command.startswith(".venv/bin/pytest") for command in commands)


def test_the_password_in_the_workflow_is_the_servers() -> None:
    """The throw-away server and the suite agree on its password."""
    job = CI["jobs"]["mssql"]
    password = job["services"]["mssql"]["env"]["MSSQL_SA_PASSWORD"]
    assert f"PWD={password};" in job["env"]["RXSQL_TEST_MSSQL"]


def test_actions_are_pinned_and_may_only_read() -> None:
    """Each action is named by its commit with the version beside it, and the token can change nothing."""
    uses = re.findall(r"uses: (.*)", WORKFLOW.read_text(encoding="utf-8"))
    assert uses
    assert [
        use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)
    ] == []
    assert CI["permissions"] == {"contents": "read"}


@pytest.mark.parametrize(
    ("cases", "passes"),
    [
        ([("integration.test_store", "t[mssql]", True), ("acceptance.test_sql_tsql", "t[a]", True)], True),
        ([("integration.test_store", "t[mssql]", True), ("acceptance.test_sql_tsql", "t[a]", False)], False),
        ([("integration.test_store", "t[mssql]", False), ("acceptance.test_sql_tsql", "t[a]", True)], False),
        (
            [
                ("integration.test_store", "t[mssql]", True),
                ("acceptance.test_sql_tsql", "t[a]", True),
                ("acceptance.test_sql_tsql_results", "t[a]", False),
            ],
            False,
        ),
        (
            [("integration.test_store", "t[mssql]", True), ("integration.test_store", "t[sqlite]", True)],
            False,
        ),
    ],
    ids=["all ran", "a script was skipped", "a result was skipped", "no test of the store ran", "no scripts"],
)
def test_the_workflow_insists_on_tests_of_sql_server(
    tmp_path: Path, cases: list[tuple[str, str, bool]], passes: bool
) -> None:
    """The step after the suite fails where the store's tests, or any script in T-SQL, were skipped."""
    (step,) = [
        s for s in CI["jobs"]["mssql"]["steps"] if s.get("name") == "Insist that tests ran on the server"
    ]
    report = "".join(
        f'<testcase classname="tests.{module}" name="{name}">{"" if ran else "<skipped/>"}</testcase>'
        for module, name, ran in cases
    )
    (tmp_path / "report.xml").write_text(f"<testsuites><testsuite>{report}</testsuite></testsuites>")
    command = step["run"].replace(".venv/bin/python", sys.executable)
    assert (
        subprocess.run(["bash", "-ec", command], cwd=tmp_path, capture_output=True).returncode == 0
    ) == passes


# ------------------------------------------------------------------------------------- commands of the command line


def _commands() -> Iterator[list[str]]:
    """Yield each `rxsql …` command in docker/ and in the workflow, word by word."""
    yield KEDA["ScaledJob"]["spec"]["jobTargetRef"]["template"]["spec"]["containers"][0]["args"]
    yield SERVICES["client"]["command"]
    yield re.findall(r'"(\S+?)"', re.search(r"^CMD (.*rxsql.*)$", DOCKERFILE, re.MULTILINE)[1])
    blocks = re.findall(r"^```bash\n(.*?)^```$", (DOCKER / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    runs = [step["run"] for job in CI["jobs"].values() for step in job["steps"] if "run" in step]
    for text in (*blocks, *runs, (DOCKER / "schema.sh").read_text()):
        for line in text.splitlines():
            found = re.search(r"^(?:docker compose run .* client )?(rxsql [^|]*)", line)
            if found:
                yield shlex.split(found[1])
    yield ["rxsql", "workers", "--json"]  # healthy.py


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_commands_exist(words: list[str]) -> None:
    """Each rxsql command that docker/ and the workflow use exists, with its options."""
    [program, *rest] = words
    assert program == "rxsql"
    command: Any = make_command()
    name = program
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    command.make_context(name, rest)  # refuses options and arguments that the command has not


def test_the_installer_and_the_scaled_job_use_the_commands_made_for_them() -> None:
    """The commands found above have those that matter among them, so that the search finds what it should."""
    found = [" ".join(words) for words in _commands()]
    assert {"rxsql db init", "rxsql worker --exit-when-idle", "rxsql worker", "rxsql workers"} <= set(found)
    assert '"rxsql.cli", "workers", "--json"]' in (DOCKER / "healthy.py").read_text()


# ---------------------------------------------------------------------------------------------------- the scripts


def _entrypoint(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(DOCKER / "entrypoint.sh"), *command],
        env={"PATH": PATH} | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("password", ["plain", "a}b;c", "sp ace$(x)`'\"\\", "}{"])
def test_the_entry_point_adds_the_password_as_odbc_quotes_it(tmp_path: Path, password: str) -> None:
    """Whatever the password's characters, the command gets the ODBC string with it, between braces."""
    secret = tmp_path / "secret"
    secret.write_text(password + "\n")
    printed = _entrypoint(
        "printenv", "RXSQL_STORE", RXSQL_STORE="Server=s;UID=u;", STORE_PASSWORD_FILE=str(secret)
    )
    assert printed.stdout == "Server=s;UID=u;PWD={" + password.replace("}", "}}") + "}\n"


def test_the_entry_point_becomes_the_command() -> None:
    """The command takes the entry point's place, so that it gets Docker's signals; a complete string stays as it is."""
    script = f"exec sh {shlex.quote(str(DOCKER / 'entrypoint.sh'))} sh -c 'echo $$ $RXSQL_STORE'"
    started = subprocess.Popen(
        ["sh", "-c", script], env={"PATH": PATH, "RXSQL_STORE": "PWD=x"}, stdout=subprocess.PIPE, text=True
    )
    assert started.communicate()[0] == f"{started.pid} PWD=x\n"


def test_the_entry_point_refuses_an_empty_secret(tmp_path: Path) -> None:
    """An empty or missing secret file is said, and nothing is started."""
    (tmp_path / "secret").touch()
    for name in ("secret", "none"):
        ended = _entrypoint("echo", "started", RXSQL_STORE="UID=u", STORE_PASSWORD_FILE=str(tmp_path / name))
        assert ended.returncode
        assert str(tmp_path / name) in ended.stderr
        assert not ended.stdout


def test_make_secrets_makes_what_is_missing(tmp_path: Path) -> None:
    """Each login gets a password of its own that SQL Server's policy accepts; a second run changes none."""
    shutil.copy(DOCKER / "make-secrets.sh", tmp_path)
    run = [str(tmp_path / "make-secrets.sh")]
    subprocess.run(run, check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch(r"Rx-[0-9a-f]{32}", password) for password in made.values())
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o644}

    (tmp_path / "secrets" / "client_password").unlink()
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert said == "made docker/secrets/client_password\n"
    again = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert {name for name in made if again[name] != made[name]} == {"client_password"}


@pytest.fixture
def install_schema(tmp_path: Path) -> Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]:
    """Run schema.sh with commands in place of sqlcmd and rxsql, which only write down how they were called."""
    log = tmp_path / "calls"
    log.touch()
    for name in ("sqlcmd", "rxsql"):
        stand_in = tmp_path / "bin" / name
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {log}\nenv > {tmp_path}/{name}.env\n'
            f'case "$*" in *"$FAIL_AT") [ -z "$FAIL_AT" ];; esac\n'
        )
        stand_in.chmod(0o755)
    for name, password in (("sa", "s'a"), ("worker", "wor'ker"), ("client", "cli$ent")):
        (tmp_path / f"{name}_password").write_text(password)

    def run(fail_at: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
        environment = {"PATH": f"{tmp_path / 'bin'}:{PATH}", "SECRETS": str(tmp_path), "FAIL_AT": fail_at}
        done = subprocess.run(
            ["sh", str(DOCKER / "schema.sh")], env=environment, capture_output=True, text=True
        )
        return done, log.read_text().replace(f"{DOCKER}/", "").splitlines()

    return run


def test_the_installer_makes_database_schema_and_logins(install_schema: Any, tmp_path: Path) -> None:
    """In this order; passwords reach sqlcmd through its environment, ready to stand between quotes, and no argument."""
    done, calls = install_schema()
    assert done.returncode == 0
    assert calls == [
        "sqlcmd -C -b -I -d master -i database.sql",
        "rxsql db init",
        "sqlcmd -C -b -I -d RxJobs -i logins.sql",
    ]
    given = set((tmp_path / "sqlcmd.env").read_text().splitlines())
    assert {"SQLCMDPASSWORD=s'a", "WORKER_PASSWORD=wor''ker", "CLIENT_PASSWORD=cli$ent"} <= given
    used = set(re.findall(r"\$\((\w+)\)", (DOCKER / "logins.sql").read_text()))
    assert used == {"WORKER_PASSWORD", "CLIENT_PASSWORD"}


@pytest.mark.parametrize(("fail_at", "calls"), [("database.sql", 1), ("db init", 2), ("logins.sql", 3)])
def test_the_installer_stops_at_the_first_failure(install_schema: Any, fail_at: str, calls: int) -> None:
    """Workers wait for an installer that ended well, so none of its steps may fail unseen."""
    done, called = install_schema(fail_at)
    assert done.returncode
    assert len(called) == calls
    assert "is ready" not in done.stdout


def _health(store: Path) -> int:
    """Run the health check as the image does."""
    return _entrypoint(
        "python3", str(DOCKER / "healthy.py"), RXSQL_STORE=str(store), HOME=str(store.parent)
    ).returncode


def test_a_worker_is_healthy_while_it_is_alive(store_path: Path, start_worker: Callable[..., Any]) -> None:
    """The health check fails without a worker, passes with one of this host, and fails when that has ended."""
    assert _health(store_path)
    worker = start_worker()
    assert _health(store_path) == 0
    worker.terminate()
    worker.wait(timeout=20)
    wait_until(lambda: _health(store_path))
