# The explorer of the bundled models:
#   docker build -t howfar .
#   docker run --rm -p 7860:7860 howfar
# The default build of PyTorch brings CUDA, several gigabytes that the bundled models do not need; for a small image name
# PyTorch's index of CPU builds:  docker build --build-arg PIP_EXTRA_INDEX_URL=... -t howfar .
FROM python:3.11-slim
WORKDIR /app
ARG PIP_EXTRA_INDEX_URL=
COPY . .
RUN pip install --no-cache-dir -c constraints.txt ".[app]" \
    && useradd --create-home visitor
USER visitor
EXPOSE 7860
CMD ["howfar", "explore", "--host", "0.0.0.0", "--port", "7860", "--no-browser"]
