#!/bin/sh
# Everything from a fresh checkout to the demo's results on the screen.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

ensure_dependencies
ensure_engine
./bin/dgrid demo "$@"
