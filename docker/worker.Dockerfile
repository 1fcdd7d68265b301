# The image of a worker: Python, Microsoft's ODBC driver and rxsql. Build it from the checkout's top folder:
#
#     docker build -f docker/worker.Dockerfile --target worker --build-arg ACCEPT_EULA=Y -t rxsql-worker .
#
# ACCEPT_EULA=Y accepts the licence of Microsoft's ODBC driver: https://aka.ms/odbc18eula

ARG PYTHON=3.11

# --------------------------------------------------------------------------------- wheels: stays out of the image
FROM python:${PYTHON}-slim-bookworm AS wheels
WORKDIR /src
COPY docker/requirements.txt requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY rxsql rxsql
COPY sql sql
RUN pip wheel --no-cache-dir --wheel-dir /wheels --requirement requirements.txt .

# ------------------------------------------------------------------------------------------------------ the worker
FROM python:${PYTHON}-slim-bookworm AS worker
LABEL org.opencontainers.image.title="rxsql worker" \
      org.opencontainers.image.description="Runs rxsql's jobs from a SQL Server in child processes" \
      org.opencontainers.image.licenses="MIT AND LicenseRef-Microsoft-ODBC-Driver-18"

ARG ACCEPT_EULA
ADD --chmod=0644 https://packages.microsoft.com/keys/microsoft.asc /usr/share/keyrings/microsoft.asc
# libgssapi-krb5-2: the driver loads it, and the slim image lacks it. Versions are Debian's and Microsoft's newest:
# a rebuild is how they get their security fixes.
# hadolint ignore=DL3008
RUN if [ "$ACCEPT_EULA" != Y ]; then echo "Accept the driver's licence: --build-arg ACCEPT_EULA=Y" >&2; exit 1; fi \
    && echo "deb [signed-by=/usr/share/keyrings/microsoft.asc] https://packages.microsoft.com/debian/12/prod bookworm main" \
        > /etc/apt/sources.list.d/microsoft.list \
    && apt-get update \
    && apt-get install --yes --no-install-recommends libgssapi-krb5-2 msodbcsql18 unixodbc \
    && rm -rf /var/lib/apt/lists/*

RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && pip check \
    && python -c "import pyodbc; assert 'ODBC Driver 18 for SQL Server' in pyodbc.drivers(), pyodbc.drivers()" \
    && if command -v cc gcc g++ make; then echo "There is a compiler in the image." >&2; exit 1; fi

COPY --chmod=0755 docker/entrypoint.sh /usr/local/bin/rxsql-entrypoint
COPY --chmod=0644 docker/healthy.py /usr/local/lib/rxsql/healthy.py

# A number, so that Kubernetes can see that it is not root. The home is /tmp: the rest may be read-only.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp rxsql
ENV HOME=/tmp PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001

ENTRYPOINT ["rxsql-entrypoint"]
CMD ["rxsql", "worker"]
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s --retries=3 \
    CMD ["rxsql-entrypoint", "python", "/usr/local/lib/rxsql/healthy.py"]

# -------------------------------------------------------------- schema: the worker's image and Microsoft's sqlcmd
FROM worker AS schema
ARG ACCEPT_EULA
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends mssql-tools18 \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/mssql-tools18/bin:$PATH
COPY --chmod=0755 docker/schema.sh /usr/local/lib/rxsql/schema.sh
COPY --chmod=0644 docker/database.sql docker/logins.sql /usr/local/lib/rxsql/
USER 10001:10001
HEALTHCHECK NONE
CMD ["/usr/local/lib/rxsql/schema.sh"]
