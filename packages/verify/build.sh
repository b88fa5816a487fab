#!/bin/sh
# Builds verify.wasm from crates/light-wasm and prints its size. Needs: rustup target add wasm32-unknown-unknown
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# Small before fast: one unit, and no text for panics that cannot happen.
CARGO_PROFILE_RELEASE_OPT_LEVEL=z CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
CARGO_PROFILE_RELEASE_PANIC=abort \
  cargo build --locked --release -p dodona-light-wasm --target wasm32-unknown-unknown
cp "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/dodona_light_wasm.wasm" "$here/verify.wasm"
size=$(gzip -9 -c "$here/verify.wasm" | wc -c)
echo "verify.wasm: $(wc -c < "$here/verify.wasm") bytes, $size compressed; the limit is 307200"
test "$size" -le 307200
