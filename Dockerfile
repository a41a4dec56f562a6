# The monitor, its dashboard and its simulators, with the weights; not yet run (docs/deployment.md).
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
RUN apt-get update \
    && apt-get install --no-install-recommends --yes build-essential \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/strapwatch
ENV PATH=/opt/strapwatch/bin:$PATH
# PyTorch for the CPU alone is a tenth of the size: name its index, see the selector on pytorch.org.
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX" torch; fi
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY monitor monitor
COPY simulators simulators
COPY models models
RUN pip install --no-cache-dir .

FROM python:${PYTHON}-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/strapwatch --create-home strapwatch \
    && mkdir --mode 0700 /recordings \
    && chown strapwatch /recordings
COPY --from=build /opt/strapwatch /opt/strapwatch
# Everything that is written lies in one folder, so that the rest can be read-only.
ENV PATH=/opt/strapwatch/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/lib/strapwatch/compiled
USER strapwatch
WORKDIR /var/lib/strapwatch
# Compiled once here: a new volume begins with a copy of it.
RUN strapwatch prepare
VOLUME /var/lib/strapwatch
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=90s CMD ["python", "-m", "monitor.health"]
ENTRYPOINT ["strapwatch"]
CMD ["monitor"]
