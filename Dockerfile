# docker build -t ctm . && mkdir -p runs && docker run -it -v "$PWD/runs:/app/runs" ctm
# (the container writes as its user ctm: `chmod a+w runs` where that is not yours)
FROM python:3.11-slim

# make, for the Makefile; g++, for torch.compile; git, for the commit in result.json
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make g++ git \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home ctm && mkdir /app && chown ctm /app
USER ctm
WORKDIR /app

# Extra options for pip, such as the index of a torch without CUDA for a smaller image.
ARG PIP_OPTIONS=""
COPY --chown=ctm pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=ctm ctm ctm
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir $PIP_OPTIONS --constraint constraints.txt --editable .
COPY --chown=ctm . .

ENV PATH="/app/.venv/bin:$PATH"
CMD ["python", "scripts/train.py", "experiment=digits/quick"]
