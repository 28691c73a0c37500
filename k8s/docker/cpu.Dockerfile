# The image that trains and preprocesses on CPUs, and serves TensorBoard and the tf.data service:
#
#   docker build -f k8s/docker/cpu.Dockerfile -t REGISTRY/shardline:TAG .
#
# For repeatable builds give the base image by its digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt /build/
# Everything is pinned in it, and comes as wheels: no compiler is needed.
RUN /venv/bin/pip install -r /build/requirements.txt

FROM ${BASE}
# Numbers of their own: a process of this user is nobody on the node.
RUN groupadd --gid 10001 shardline && useradd --uid 10001 --gid 10001 --no-create-home shardline
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
