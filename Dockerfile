# One image for web, the workers, beat and setup; docker-compose.yml chooses the process.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    CHAMPIPY_HOME=/var/lib/champipy

# ChampiPy's own user. The home is made here so that a new volume at it belongs to that user.
RUN useradd --system --uid 10001 --create-home champipy \
    && install --directory --owner=champipy --group=champipy --mode=0750 /var/lib/champipy

WORKDIR /app
COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt
COPY . .

USER champipy
VOLUME /var/lib/champipy
EXPOSE 8000
CMD ["python", "-m", "champipy_site.web", "--host", "0.0.0.0", "--port", "8000"]
