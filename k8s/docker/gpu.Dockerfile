# The image that trains on NVIDIA GPUs; CUDA's libraries come from the wheels, the driver from the
# node (525 or newer):
#
#   docker build -f k8s/docker/gpu.Dockerfile -t REGISTRY/shardline-gpu:TAG .
#
# The wheels hold code for compute capability 5.0 to 7.5 and PTX for 8.0: newer GPUs compile it at
# first use, for up to half an hour. CUDA_CACHE_PATH on a volume keeps the result.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt requirements-gpu.txt /build/
RUN /venv/bin/pip install -r /build/requirements-gpu.txt

FROM ${BASE}
RUN groupadd --gid 10001 shardline && useradd --uid 10001 --gid 10001 --no-create-home shardline
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
