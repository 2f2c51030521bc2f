# ioasid with what its tests need beside Node. FUSE and a mount namespace come from outside:
#
#     docker build -t ioasid .
#     docker run --rm --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined \
#       -v "$PWD:/work" ioasid run -- ./tests

FROM node:22-bookworm-slim AS build
WORKDIR /opt/ioasid
COPY . .
# Builds, and leaves out what is needed for that alone.
RUN npm ci && npm prune --omit=dev --ignore-scripts

FROM node:22-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends fuse3 \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/ioasid /opt/ioasid
RUN ln -s /opt/ioasid/bin/ioasid /usr/local/bin/ioasid
WORKDIR /work
ENTRYPOINT ["ioasid"]
CMD ["doctor"]
