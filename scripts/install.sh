#!/bin/sh
# Installs the D-GRID worker on a box as a service of systemd, brings a newer version, or takes it away again.
#
#   install.sh [--from FILE|URL] --repo URL [options]   install; run again it changes only what differs
#   install.sh --upgrade [--from FILE|URL]              another version of the program, with the settings that are there
#   install.sh --uninstall [--purge]                    settings and state stay, unless they are purged
#
#   --from FILE|URL         the single-file executable, also compressed (.gz), or the package that npm pack made (.tgz, needs
#                           Node.js). Without it: the executable for this machine that lies beside this script
#   --repo URL              the task repository (DGRID_REPO_URL)
#   --node-id ID            its own for every box (NODE_ID); without it the host name
#   --profile NAME          a named set of settings (DGRID_PROFILE)
#   --token-file FILE       a token for an https repository; the worker gets a copy of its own
#   --ssh-key FILE          a private key for an ssh repository; likewise
#   --known-hosts FILE      the keys of its host; likewise
#   --set NAME=VALUE        any other setting; may be given more than once
#   --engine-group GROUP    the group that may use the engine's socket (docker)
#   --filter                put the engine filter in front of that socket, and keep the worker out of the group
#   --sha256 SUM            what the file has to be; without it the SHA256SUMS beside the file says so
#   --no-start              set everything up, and start nothing now
#   --no-service            the program alone, for those who submit tasks
#   --dry-run               say what would be done, and do nothing
#
# --repo, --node-id, --profile and --token-file may also come as DGRID_REPO_URL, NODE_ID, DGRID_PROFILE and GIT_TOKEN_FILE in
# the environment. Nothing is fetched but what --from names. Wrong settings are found before anything is changed.
#
# A running worker is restarted in order: it finishes or hands back its tasks, for which systemctl waits (TimeoutStopSec),
# and the new one takes up its state.
#
# Exit codes: 0 done, 1 failed, 2 wrong use or settings.
set -eu
export LC_ALL=C
umask 022

BIN=/usr/local/bin
CONFIG=/etc/dgrid
ENV_FILE=$CONFIG/worker.env
STATE=/var/lib/dgrid
FILTER_STATE=/var/lib/dgrid-engine
UNITS=/etc/systemd/system
DROP_IN=$UNITS/dgrid-worker.service.d/50-install.conf
FILTER_SOCKET=/run/dgrid-engine/engine.sock
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/install-steps.sh
. "$HERE/install-steps.sh"
# A worker that stops at its settings does so within this time.
SETTLE_SECONDS=4

# The executable that was there before, as long as the new one may have to make way for it.
EARLIER=.dgrid-earlier
# There as long as something was changed and the service not restarted since: an installation may be interrupted.
CHANGED=$CONFIG/.changed

action=install from='' sum='' engine_group='' filter=no start=yes service=yes dry=no purge=no
token='' key='' hosts='' settings='' program='' version=''

say() { echo "$*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
usage() { echo "install.sh: $*; see install.sh --help" >&2; exit 2; }

# run COMMAND...: what changes the box. With --dry-run it is only said.
run() {
  if [ "$dry" = yes ]; then say "would run: $*"; else "$@"; fi
}

# set_to NAME VALUE: remembers a setting for the worker. What its file cannot hold for systemd and docker alike is refused.
set_to() {
  case $1 in '' | [0-9]* | *[!A-Z0-9_]*) usage "--set $1: the name of a setting has capitals, digits and _ only" ;; esac
  case $2 in *\"* | *\'* | *\\* | *'
'*) usage "$1: no quotation marks, backslashes or line breaks, the settings' file cannot hold them" ;; esac
  settings="$settings$1=$2
"
}

read_options() {
  case " $* " in *' --upgrade '* | *' --uninstall '*) ;; *) read_environment ;; esac
  while [ $# -gt 0 ]; do
    case $1 in
    --from | --repo | --node-id | --profile | --token-file | --ssh-key | --known-hosts | --set | --engine-group | --sha256)
      [ -n "${2:-}" ] || usage "$1 needs a value"
      take_value "$1" "$2"
      shift
      ;;
    --upgrade) action=upgrade ;;
    --uninstall) action=uninstall ;;
    --purge) purge=yes ;;
    --filter) filter=yes ;;
    --no-start) start=no ;;
    --no-service) service=no ;;
    --dry-run) dry=yes ;;
    -h | --help)
      sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) usage "unknown option $1" ;;
    esac
    shift
  done
  [ "$purge" = no ] || [ "$action" = uninstall ] || usage "--purge goes with --uninstall"
}

read_environment() {
  token=${GIT_TOKEN_FILE:-}
  [ -z "${DGRID_REPO_URL:-}" ] || set_to DGRID_REPO_URL "$DGRID_REPO_URL"
  [ -z "${NODE_ID:-}" ] || set_to NODE_ID "$NODE_ID"
  [ -z "${DGRID_PROFILE:-}" ] || set_to DGRID_PROFILE "$DGRID_PROFILE"
}

take_value() {
  case $1 in
  --from) from=$2 ;;
  --repo) set_to DGRID_REPO_URL "$2" ;;
  --node-id) set_to NODE_ID "$2" ;;
  --profile) set_to DGRID_PROFILE "$2" ;;
  --token-file) token=$2 ;;
  --ssh-key) key=$2 ;;
  --known-hosts) hosts=$2 ;;
  --set) case $2 in *=*) set_to "${2%%=*}" "${2#*=}" ;; *) usage "--set $2: NAME=VALUE is needed" ;; esac ;;
  --engine-group) engine_group=$2 ;;
  --sha256) sum=$2 ;;
  esac
}

# What an earlier run decided stays, unless this one says something else.
read_earlier_choices() {
  if [ "$action" = upgrade ]; then
    [ -x $BIN/dgrid ] || fail "nothing is installed in $BIN: leave out --upgrade"
    [ -f $UNITS/dgrid-worker.service ] || service=no
  fi
  if [ -z "$engine_group" ] && [ -f $DROP_IN ]; then
    ! grep -q engine-filter $DROP_IN || filter=yes
    engine_group=$(sed -n 's/^SupplementaryGroups=\(..*\)/\1/p' $DROP_IN)
  fi
  : "${engine_group:=docker}"
}

require_box() {
  [ "$(uname -s)" = Linux ] || fail "this is $(uname -s), and the worker runs on Linux"
  [ "$dry" = yes ] || [ "$(id -u)" = 0 ] || fail "this needs root: sudo sh $0"
  [ "$service" = no ] || command -v systemctl >/dev/null ||
    fail "systemd is missing (no systemctl): use --no-service, and let another supervisor run \"dgrid-worker start\""
}

require_programs() {
  command -v git >/dev/null || fail "git is missing: install git 2.31 or newer (on Debian and Ubuntu: apt-get install git)"
  [ "$service" = no ] || getent group "$engine_group" >/dev/null ||
    fail "there is no group $engine_group, which may use the engine's socket: install a container engine first, or name its group with --engine-group"
  for file in "$token" "$key" "$hosts"; do
    [ -z "$file" ] || [ -r "$file" ] || fail "$file cannot be read: correct the path"
  done
  for unit in $(units); do unit_file "$unit" >/dev/null; done
  case $from in
  *.tgz) [ ! -f $BIN/dgrid ] || [ -L $BIN/dgrid ] || fail "$BIN/dgrid is a single file, which the package cannot take the place of: --uninstall comes first" ;;
  *) [ ! -L $BIN/dgrid ] || fail "$BIN/dgrid is a link, as npm makes it: npm uninstall --global d-grid comes first" ;;
  esac
}

units() {
  [ "$service" = yes ] || return 0
  echo dgrid-worker
  [ "$filter" = no ] || echo dgrid-engine-filter
}

# unit_file NAME: beside this script, as in a release, or where a checkout and a package have it.
unit_file() {
  for place in "$HERE" "$HERE/../docker"; do
    if [ -f "$place/$1.service" ]; then echo "$place/$1.service" && return 0; fi
  done
  fail "$1.service is missing: it belongs beside install.sh"
}

# Brings the executable to $program, or the package to $work/package.tgz.
get_program() {
  if [ -z "$from" ]; then
    case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64 | arm64) architecture=arm64 ;;
    *) fail "there is no executable for $(uname -m): install Node.js, and name a package with --from" ;;
    esac
    for file in "$HERE"/dgrid-*-linux-"$architecture" "$HERE"/dgrid-*-linux-"$architecture".gz; do
      [ ! -f "$file" ] || from=$file
    done
    [ -n "$from" ] || fail "no executable for $architecture lies beside install.sh: name one with --from"
  fi
  case $from in
  http://* | https://*)
    fetch "$from" "$work/download" || fail "$from cannot be fetched"
    [ -n "$sum" ] || fetch "${from%/*}/SHA256SUMS" "$work/SHA256SUMS" ||
      fail "there is no SHA256SUMS beside $from: say with --sha256 what the file has to be"
    ;;
  *)
    [ -f "$from" ] || fail "$from is not a file: correct --from"
    cp "$from" "$work/download"
    [ ! -f "$(dirname "$from")/SHA256SUMS" ] || cp "$(dirname "$from")/SHA256SUMS" "$work/SHA256SUMS"
    ;;
  esac
  check_sum
  case $from in
  *.tgz)
    mv "$work/download" "$work/package.tgz"
    require_node
    return 0
    ;;
  *.gz) gzip -dc "$work/download" >"$work/dgrid-worker" || fail "$from is damaged: copy it again" ;;
  *) mv "$work/download" "$work/dgrid-worker" ;;
  esac
  program=$work/dgrid-worker
  chown 0:0 "$program" 2>/dev/null || [ "$dry" = yes ]
  chmod 755 "$program"
}

fetch() {
  if command -v curl >/dev/null; then
    curl --fail --silent --show-error --location --output "$2" "$1"
  elif command -v wget >/dev/null; then
    wget -q -O "$2" "$1"
  else
    fail "neither curl nor wget is there: copy the file to this machine, and name it with --from"
  fi
}

check_sum() {
  name=${from##*/}
  if [ -z "$sum" ]; then
    if [ ! -f "$work/SHA256SUMS" ]; then
      say "no SHA256SUMS beside $name: it is not checked"
      return 0
    fi
    sum=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
    [ -n "$sum" ] || fail "SHA256SUMS does not name $name: take both from the same release"
  fi
  found=$(sha256sum "$work/download" | cut -d' ' -f1)
  [ "$found" = "$sum" ] || fail "$name is not what it should be, SHA-256 is $found and should be $sum: copy it again"
}

require_node() {
  command -v npm >/dev/null || fail "npm is missing, and $from is a package: install Node.js 24 or newer, or name an executable"
  [ "$(node --print 'process.versions.node.split(".")[0]')" -ge 24 ] ||
    fail "Node.js 24 or newer is needed, this is $(node --version)"
}

# as_worker COMMAND...: the program that is to be installed, with nothing of this environment.
as_worker() {
  env -i PATH="$PATH" HOME=/nonexistent DGRID_STATE_DIR=$STATE "${program:-$BIN/dgrid-worker}" "$@"
}

require_runnable() {
  version=$(as_worker --version 2>"$work/said") || {
    cat "$work/said" >&2
    fail "$from does not run on this machine ($(uname -m)): it needs the GNU C library 2.28 or newer, libstdc++6 and libatomic1 (on Debian and Ubuntu: apt-get install libstdc++6 libatomic1)"
  }
}

# Writes the settings as they will be to $work/worker.env: those that are there, with the new ones in their place.
merge_settings() {
  [ -z "$token" ] || set_to GIT_TOKEN_FILE $CONFIG/git-token
  [ -z "$key" ] || set_to GIT_SSH_KEY_FILE $CONFIG/ssh-key
  [ -z "$hosts" ] || set_to GIT_SSH_KNOWN_HOSTS_FILE $CONFIG/known_hosts
  [ "$filter" = no ] || set_to DOCKER_HOST "unix://$FILTER_SOCKET"
  if [ -f $ENV_FILE ]; then
    [ -r $ENV_FILE ] || fail "$ENV_FILE cannot be read: this needs root"
    cat $ENV_FILE
  else
    echo '# Settings of the D-GRID worker: NAME=VALUE, without quotation marks. "dgrid-worker config --help" lists all.'
  fi >"$work/worker.env"
  printf %s "$settings" >"$work/new"
  while IFS= read -r line; do
    awk -v line="$line" -v name="${line%%=*}" '
      index($0, name "=") == 1 { if (!done) print line; done = 1; next }
      { print }
      END { if (!done) print line }' "$work/worker.env" >"$work/merged"
    mv "$work/merged" "$work/worker.env"
  done <"$work/new"
}

# The program itself says what is wrong. Files that it is to get are looked for where they are now.
check_settings() {
  if [ "$start" = no ] && ! grep -q '^DGRID_REPO_URL=' "$work/worker.env"; then
    say "no repository is named yet: put DGRID_REPO_URL into $ENV_FILE before the first start"
    return 0
  fi
  sed -e "s|^GIT_TOKEN_FILE=$CONFIG/git-token\$|GIT_TOKEN_FILE=${token:-$CONFIG/git-token}|" \
    -e "s|^GIT_SSH_KEY_FILE=$CONFIG/ssh-key\$|GIT_SSH_KEY_FILE=${key:-$CONFIG/ssh-key}|" \
    -e "s|^GIT_SSH_KNOWN_HOSTS_FILE=$CONFIG/known_hosts\$|GIT_SSH_KNOWN_HOSTS_FILE=${hosts:-$CONFIG/known_hosts}|" \
    "$work/worker.env" >"$work/check.env"
  as_worker config --env-file "$work/check.env" >/dev/null 2>"$work/said" || {
    sed -e "s|$work/check.env|$ENV_FILE|" "$work/said" >&2
    echo "install.sh: these settings were not taken" >&2
    exit 2
  }
}

read_options "$@"
if [ "$action" = uninstall ]; then
  require_box
  uninstall
  exit 0
fi
read_earlier_choices
require_box
require_programs
# Where the program is to be: other places may forbid to run what lies there.
work=$(mktemp -d $BIN/.dgrid-install-XXXXXX 2>/dev/null) || work=$(mktemp -d "${TMPDIR:-/tmp}/dgrid-install-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
get_program
if [ -f "$work/package.tgz" ]; then put_package; fi
require_runnable
if [ "$service" = yes ]; then
  merge_settings
  check_settings
  make_users
fi
if [ -n "$program" ]; then put_program; fi
if [ "$service" = yes ]; then
  put_settings
  put_units
  start_units
else
  rm -f $BIN/$EARLIER
  say "installed: dgrid $version"
fi
