# bearerd on Debian's slim image: one binary, a user without rights, and a root that may be read-only.
#
#   docker build -t bearerd .
#   docker run --read-only --cap-drop ALL -v "$PWD/bearerd.yaml:/etc/bearerd/bearerd.yaml:ro" -v bearerd:/var/lib/bearerd bearerd
#
# Where the build has no network, vendor the dependencies into the context first:
#   cargo vendor --locked .cargo/vendor >>.cargo/config.toml && docker build --network none -t bearerd .

FROM rust:1-bookworm AS build
WORKDIR /src

# The dependencies alone, against an empty program: a layer that only a new Cargo.lock makes anew.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock build.rs ./
RUN mkdir -p src benches/request_path \
 && touch src/lib.rs benches/request_path/main.rs \
 && echo 'fn main() {}' >src/main.rs \
 && cargo build --release --locked --bin bearerd

COPY config config
COPY src src
# The checkout may be older than the empty program, and cargo compares times.
RUN touch src/lib.rs src/main.rs \
 && cargo build --release --locked --bin bearerd \
 && install -D target/release/bearerd /image/usr/local/bin/bearerd \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && install -d -m 0755 /image/etc/bearerd

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="bearerd" \
      org.opencontainers.image.description="An authenticating reverse proxy and sidecar: it signs in to APIs for software that can't." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"

# A new volume takes its owner and its mode from here: the state holds refresh tokens.
RUN install -d -m 0700 -o 65532 -g 65532 /var/lib/bearerd
COPY --from=build /image/ /

# A number, so that Kubernetes can tell that it isn't root.
USER 65532:65532
# The state is here too where the config doesn't say.
ENV STATE_DIRECTORY=/var/lib/bearerd
WORKDIR /var/lib/bearerd
VOLUME /var/lib/bearerd

# SIGTERM drains: open requests end, token requests end, tokens are saved. Give it 75 s.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/bearerd", "health"]
ENTRYPOINT ["/usr/local/bin/bearerd"]
CMD ["run"]
