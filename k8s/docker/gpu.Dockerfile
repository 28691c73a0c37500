# The image that trains on NVIDIA GPUs; CUDA's libraries come from the wheels, the driver from the
# node (525 or newer):
#
#   docker build -f k8s/docker/gpu.Dockerfile -t REGISTRY/shardline-gpu:TAG .
#
# The wheels hold code for compute capability 5.0 to 7.5 and PTX for 8.0: newer GPUs compile it at
# first use, for up to half an hour. CUDA_CACHE_PATH on a volume keeps the result.
#
# The next stack (docs/stacks.md) has code for 6.0 to 8.9 and PTX for 9.0:
# --build-arg STACK=next --build-arg BASE=python:3.13-slim-bookworm
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
# default or next.
ARG STACK=default
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt requirements-gpu.txt requirements-next.txt requirements-next-gpu.txt /build/
RUN case "$STACK" in default) file=requirements-gpu ;; next) file=requirements-next-gpu ;; \
        *) echo "STACK=$STACK: there are default and next" >&2; exit 64 ;; esac \
    && /venv/bin/pip install -r "/build/$file.txt"
# What no command imports, half a gigabyte: C++ headers, the compiler's library that TensorFlow was
# built with, and a client of Vertex AI that comes with apache-beam[gcp].
RUN cd /venv/lib/python3*/site-packages \
    && rm -rf tensorflow/include clang google/cloud/aiplatform* vertexai agentplatform

FROM ${BASE}
RUN groupadd --gid 10001 shardline && useradd --uid 10001 --gid 10001 --no-create-home \
        --shell /usr/sbin/nologin shardline
COPY --from=build /venv /venv
COPY preprocess /app/preprocess
COPY trainer /app/trainer
COPY launch /app/launch
# What the container toolkit reads: which parts of the driver to bring in. `utility` holds NVML,
# from which utilisation is sampled.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
ENTRYPOINT []
CMD ["python", "-m", "trainer"]
