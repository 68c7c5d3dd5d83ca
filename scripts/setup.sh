# Brings a fresh machine to where the demo and the tests can run. Sourced by the scripts beside it.
# shellcheck shell=sh

say() {
  echo "==> $*" >&2
}

fail() {
  echo "$*" >&2
  exit 1
}

is_root_on_debian() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

# install_packages PACKAGE…: by apt, and only what is missing.
install_packages() {
  missing=
  for package in "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed' ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "installing$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086 # one word for each package
  apt-get install --yes --no-install-recommends -qq $missing >/dev/null
}

# The development dependencies, among them the Node that the programs run on.
ensure_dependencies() {
  command -v npm >/dev/null || fail "npm is missing: install Node.js with npm"
  command -v git >/dev/null || {
    is_root_on_debian || fail "git is missing: install git 2.31 or newer"
    install_packages git ca-certificates
  }
  if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    say "installing dependencies"
    npm ci --no-fund --no-audit --loglevel=error
  fi
  npm run --silent build
}

engine_answers() {
  command -v docker >/dev/null && docker version >/dev/null 2>&1
}

# A container engine: the one there is, the system's own service, or a daemon for as long as this script runs.
ensure_engine() {
  engine_answers && return 0
  is_root_on_debian || fail "No container engine answers. Install Docker, start it, and let this user reach its socket
(on most systems: add the user to the group docker), or set DOCKER_HOST; then run this again."
  install_packages docker.io busybox-static
  # Newer releases have the command in a package of its own.
  command -v docker >/dev/null || install_packages docker-cli
  if [ -d /run/systemd/system ]; then
    say "starting the docker service"
    systemctl start docker && engine_answers && return 0
  fi
  start_private_engine
}

# Without a service manager: a daemon of our own, with nothing of the machine's network touched, gone when we are.
start_private_engine() {
  engine_dir=$(mktemp -d /tmp/dgrid-engine-XXXXXX)
  say "starting a container engine in $engine_dir"
  setsid dockerd --host "unix://$engine_dir/s" --data-root "$engine_dir/data" --exec-root "$engine_dir/exec" \
    --pidfile "$engine_dir/pid" --iptables=false --ip6tables=false --ip-masq=false --bridge=none \
    >"$engine_dir/log" 2>&1 &
  trap stop_private_engine EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  DOCKER_HOST="unix://$engine_dir/s"
  export DOCKER_HOST
  waited=0
  until engine_answers; do
    waited=$((waited + 1))
    [ "$waited" -le 120 ] || fail "the container engine did not start; its log ends with:
$(tail -n 20 "$engine_dir/log")"
    sleep 0.5
  done
}

stop_private_engine() {
  [ -n "${engine_dir:-}" ] || return 0
  if [ -s "$engine_dir/pid" ]; then
    engine_pid=$(cat "$engine_dir/pid")
    kill "$engine_pid" 2>/dev/null || true
    waited=0
    while kill -0 "$engine_pid" 2>/dev/null && [ "$waited" -lt 60 ]; do
      waited=$((waited + 1))
      sleep 0.5
    done
  fi
  rm -rf "$engine_dir" || true
  engine_dir=
}
