# One image for web, the workers, beat and setup; docker-compose.yml and deploy/kubernetes choose
# the process. docs/scaling.md says how to pin the image that it is made from by its digest.
ARG PYTHON_IMAGE=docker.io/library/python:3.12.13-slim-bookworm
FROM ${PYTHON_IMAGE}

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    CHAMPIPY_HOME=/var/lib/champipy

# ChampiPy's own user. The home is made here so that a new volume at it belongs to that user.
RUN groupadd --gid 10001 champipy \
    && useradd --uid 10001 --gid champipy --no-create-home --home-dir /tmp champipy \
    && install --directory --owner=champipy --group=champipy --mode=0750 /var/lib/champipy

WORKDIR /app
COPY requirements.txt requirements-telemetry.txt requirements-mlflow.txt ./
RUN pip install --require-hashes -r requirements.txt
# docker compose build --build-arg EXTRAS="telemetry mlflow": what traces and MLflow need.
ARG EXTRAS=""
RUN for extra in $EXTRAS; do pip install --require-hashes -r requirements-$extra.txt; done
COPY . .

# A number, so that Kubernetes sees that it is not root.
USER 10001:10001
VOLUME /var/lib/champipy
EXPOSE 8000
CMD ["python", "-m", "champipy_site.web", "--host", "0.0.0.0", "--port", "8000"]
