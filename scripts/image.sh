#!/bin/sh
# Builds the worker's image from this checkout, named after the package's version:
#
#   npm run image [-- OPTION...]     options of docker build, such as --platform, --push, --build-arg
#
# Where Docker has buildx, that builds, which images of more than one platform need; elsewhere the engine does.
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n 's/^ *"version": "\(.*\)",$/\1/p' package.json)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
set -- --file docker/Dockerfile --tag "dgrid-worker:$version" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "$@" .

command -v docker >/dev/null || {
  echo "image.sh: docker is missing: install Docker" >&2
  exit 1
}
docker buildx version >/dev/null 2>&1 || exec docker build "$@"
# An image that is neither pushed nor written anywhere is for the engine here.
case " $* " in
*' --push '* | *' --output'* | *' -o '* | *' --load '*) ;;
*) set -- --load "$@" ;;
esac
exec docker buildx build "$@"
