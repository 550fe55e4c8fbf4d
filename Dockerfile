# The gateway alone: it wants a Redis or Valkey beside it (SIDECAR_REDIS_URL) and writes nothing to its file system.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /build
# Two builds have equal files: compiled modules then hold a hash of their source, and no time.
ENV PYTHONHASHSEED=0
# Everything that is fetched, to run or to build, is checked against a hash; nothing is resolved anew.
COPY requirements.lock deploy/build-requirements.lock ./
RUN python -m venv tools \
    && tools/bin/python -m pip install --no-cache-dir \
        --no-deps --require-hashes --only-binary :all: -r build-requirements.lock \
    && python -m venv --without-pip /opt/binance-sidecar \
    && tools/bin/python -m pip --python /opt/binance-sidecar/bin/python install \
        --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
RUN tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && tools/bin/python -m pip --python /opt/binance-sidecar/bin/python install \
        --no-cache-dir --no-compile --no-deps dist/*.whl \
    && tools/bin/python -m pip --python /opt/binance-sidecar/bin/python check \
    && /opt/binance-sidecar/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/binance-sidecar/lib

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="binance-sidecar" \
      org.opencontainers.image.description="Shares Binance's public data among bots, and guards the rate limits that they share." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /opt/binance-sidecar /opt/binance-sidecar
ENV PATH=/opt/binance-sidecar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SIDECAR_HOST=0.0.0.0 \
    SIDECAR_PORT=8080 \
    SIDECAR_OPS_HOST=0.0.0.0 \
    SIDECAR_OPS_PORT=9090
# A volume here (SIDECAR_STATE_DIR) gets this owner.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/binance-sidecar
# Numeric, so that Kubernetes can see that it is not root. It needs no entry in /etc/passwd and no home.
USER 10001:10001
WORKDIR /
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["binance-sidecar", "check"]
ENTRYPOINT ["binance-sidecar"]
CMD ["serve"]
