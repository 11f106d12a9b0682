# The sidecar for amd64 and arm64: docker build -t vss-vlm-sidecar:0.1.0 .
# Fixed versions come from requirements.lock, which `make lock` writes.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m pip install --quiet --root-user-action=ignore --no-cache-dir --require-hashes --only-binary=:all: --prefix=/install \
      --requirement requirements.lock \
    && python -m pip install --quiet --root-user-action=ignore --no-cache-dir --require-hashes --only-binary=:all: \
      --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY adapters adapters
RUN python -m pip install --quiet --root-user-action=ignore --no-cache-dir --no-deps --no-build-isolation --no-index \
      --prefix=/install .

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vss-vlm-sidecar" \
      org.opencontainers.image.description="Verifies camera alerts with a vision-language model, in the shapes that NVIDIA VSS speaks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12-slim-bookworm"
# Nothing is installed in a running container, so what could install is taken out.
RUN groupadd --gid 10001 sidecar \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin sidecar \
    && install -d -o sidecar -g sidecar -m 0750 /data \
    && python -m pip uninstall --yes --quiet --root-user-action=ignore pip
COPY --from=build /install /usr/local
# VSS's compose file calls /usr/local/bin/python and this program by its name.
COPY requirements.lock image/enhance_alert_with_vlm.py image/healthcheck.py /app/
WORKDIR /app
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SIDECAR_LEDGER__PATH=/data/ledger.db \
    SIDECAR_REVIEW__FILES_DIR=/data/files
USER 10001:10001
VOLUME /data
EXPOSE 9080 9081 9082
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["/usr/local/bin/python", "/app/healthcheck.py"]
ENTRYPOINT ["sidecar"]
CMD ["serve"]
