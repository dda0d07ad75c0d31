# Redrive as one program in a small image: docker build --tag redrive .
FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
# OpenSSL is compiled in, so that the program needs nothing but the C library.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --locked --release --package redrive --no-default-features --features vendored \
    && cp target/release/redrive /usr/local/bin/redrive

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --user-group --home-dir /var/lib/redrive --create-home redrive
COPY --from=build /usr/local/bin/redrive /usr/local/bin/redrive
# The store (redrive.db) lies here unless store.url says otherwise; mount a volume to keep it.
WORKDIR /var/lib/redrive
VOLUME /var/lib/redrive
USER redrive
EXPOSE 8750
ENTRYPOINT ["redrive"]
CMD ["serve"]
