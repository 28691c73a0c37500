# The image that trains and preprocesses on CPUs, and serves TensorBoard:
#
#   docker build -f k8s/docker/cpu.Dockerfile -t REGISTRY/shardline:TAG .
#
# The next stack (docs/stacks.md): --build-arg STACK=next --build-arg BASE=python:3.13-slim-bookworm
# For repeatable builds give the base image by its digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
# default or next.
ARG STACK=default
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements-hashes.txt requirements-next-hashes.txt /build/
# Everything is pinned in them with the hashes of its files, and comes as wheels: no compiler is
# needed.
RUN case "$STACK" in default) file=requirements-hashes ;; next) file=requirements-next-hashes ;; \
        *) echo "STACK=$STACK: there are default and next" >&2; exit 64 ;; esac \
    && /venv/bin/pip install --no-deps --require-hashes -r "/build/$file.txt"
# What no command imports, half a gigabyte: C++ headers, the compiler's library that TensorFlow was
# built with, and a client of Vertex AI that comes with apache-beam[gcp].
RUN cd /venv/lib/python3*/site-packages \
    && rm -rf tensorflow/include clang google/cloud/aiplatform* vertexai agentplatform

FROM ${BASE}
# Numbers of their own: a process of this user is nobody on the node.
RUN groupadd --gid 10001 shardline && useradd --uid 10001 --gid 10001 --no-create-home \
        --shell /usr/sbin/nologin shardline
COPY --from=build /venv /venv
COPY preprocess /app/preprocess
COPY trainer /app/trainer
COPY launch /app/launch
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
# Exec form: the signal that ends a pod reaches Python itself, which saves and leaves with 75.
# No HEALTHCHECK: the image runs jobs, which end, and servers, whose probes stand in k8s/.
ENTRYPOINT []
CMD ["python", "-m", "trainer"]
