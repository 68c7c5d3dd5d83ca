#!/bin/sh
# Every test, from a fresh checkout. The tests of the worker as a whole use real Git servers and a container engine of
# their own, which needs root.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

if is_root_on_debian; then
  install_packages docker.io busybox-static openssh-server debootstrap shellcheck e2fsprogs util-linux ca-certificates git strace iproute2 nftables prometheus bsdutils zsh fish
  # For the tests of the page in the browser; not every system has it as a package.
  install_packages chromium fonts-dejavu-core || say "tests of the page in the browser will be skipped"
  # For the tests of other engines, which skip those that are not there.
  install_packages podman catatonit uidmap slirp4netns fuse-overlayfs rootlesskit ||
    say "tests of Podman and of rootless engines will be skipped"
  command -v docker >/dev/null || install_packages docker-cli
else
  [ "$(id -u)" = 0 ] || fail "The full tests start container engines and mount file systems of their own, so they need root.
Without root, run the unit tests: npm test"
  for tool in dockerd busybox sshd debootstrap shellcheck mkfs.ext4 setsid git strace ip nft prometheus promtool script zsh fish; do
    command -v "$tool" >/dev/null || fail "$tool is missing: install it (on Debian and Ubuntu this script does it by itself)"
  done
fi
ensure_dependencies
npm exec --no -- node scripts/run-tests.ts "$@"
