#!/bin/sh
# Sets up bare Git repositories on a server of your own for a grid. docs/git-server.md has the reasons at length.
#
#   tune-git-server.sh [--check] [--protect-branches] PATH...
#
# Run it on the server, as the user who owns the repositories. It writes into their own configuration files and nowhere
# else, says what it changed, and does nothing when run again.
#
#   --check             only tell; exit code 1 when something should be different
#   --protect-branches  also forbid forced pushes to branches and their deletion, for everybody
#
# GIT names the git to ask and to run, if it is not the one in PATH.
#
# Exit codes: 0 all is well, 1 something differs (--check) or needs a person, 2 wrong use, or a path that is no bare repository.
set -eu
export LC_ALL=C GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
unset GIT_DIR GIT_WORK_TREE GIT_CONFIG GIT_CONFIG_COUNT GIT_CONFIG_PARAMETERS 2>/dev/null || :

GIT=${GIT:-git}
STALE_LOCK_MINUTES=60
check=no
protect=no
result=0

usage() {
  echo "usage: tune-git-server.sh [--check] [--protect-branches] PATH..." >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case $1 in
  --check) check=yes ;;
  --protect-branches) protect=yes ;;
  --) shift && break ;;
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*) usage ;;
  *) break ;;
  esac
  shift
done
[ $# -gt 0 ] || usage

version=$("$GIT" version 2>/dev/null | sed -n 's/^git version \([0-9][0-9]*\)\.\([0-9][0-9]*\).*/\1 \2/p')
[ -n "$version" ] || {
  echo "tune-git-server.sh: $GIT does not tell its version" >&2
  exit 2
}
major=${version% *}
minor=${version#* }

# git_since MAJOR MINOR
git_since() {
  [ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; }
}

own() {
  "$GIT" --git-dir="$path" config --local "$@"
}

# report KEY OLD NEW WHY: tells of a difference, and mends it unless only asked to tell.
report() {
  if [ "$check" = yes ]; then
    echo "$path: $1 is ${2:-not set}, should be $3: $4"
    result=1
  else
    own --replace-all "$1" "$3"
    echo "$path: $1: ${2:-not set} -> $3: $4"
  fi
}

# person WHAT: something that this script leaves to a person.
person() {
  echo "$path: $1"
  result=1
}

# exactly KEY VALUE WHY, for words and booleans
exactly() {
  old=$(own --get "$1" || :)
  [ "$old" = "$2" ] || report "$1" "$old" "$2" "$3"
}

# switched KEY true|false WHY
switched() {
  old=$(own --type=bool --get "$1" 2>/dev/null || :)
  [ "$old" = "$2" ] || report "$1" "$old" "$2" "$3"
}

# at_least KEY NUMBER WHY: a larger value stays; a negative one means without end.
at_least() {
  old=$(own --type=int --get "$1" 2>/dev/null || :)
  case $old in
  -*) ;;
  *) [ "${old:-0}" -ge "$2" ] || report "$1" "$old" "$2" "$3" ;;
  esac
}

# not_below KEY SIZE-IN-BYTES SIZE WHY: no limit, or one that is large enough.
not_below() {
  old=$(own --type=int --get "$1" 2>/dev/null || :)
  [ "${old:-0}" -eq 0 ] || [ "$old" -ge "$2" ] || report "$1" "$old" "$3" "$4"
}

tune() {
  if git_since 2 36; then
    exactly core.fsync committed \
      'what was confirmed to a worker survives a power cut: refs and loose objects too'
    case $(own --get core.fsyncMethod || :) in
    '' | fsync | batch) ;;
    *) exactly core.fsyncMethod fsync 'anything weaker does not wait for the disk' ;;
    esac
  else
    # Before 2.36 there was only this; refs could not be had.
    switched core.fsyncObjectFiles true 'loose objects survive a power cut (refs: only from git 2.36 on)'
  fi
  at_least core.filesRefLockTimeout 2000 \
    'a push that finds a ref locked waits so many milliseconds instead of failing'
  at_least core.packedRefsTimeout 10000 \
    'the same for deletions, which all need one common lock'
  if ! prune_is_short; then
    report gc.pruneExpire "$(own --get gc.pruneExpire || :)" 1.hour.ago \
      'each heartbeat leaves an object that nothing refers to; kept for two weeks they make every clean-up vain'
  fi
  if git_since 2 37; then
    switched gc.cruftPacks true 'what waits to be removed lies in one pack instead of a file each'
  fi
  if [ "$(own --type=bool --get receive.autogc 2>/dev/null || :)" = false ]; then
    person 'receive.autogc is off: run "git gc" regularly, at least once a day'
  fi
  if [ "$(own --get gc.auto 2>/dev/null || :)" = 0 ]; then
    person 'gc.auto is 0: run "git gc" regularly, at least once a day'
  fi
  if [ "$(own --get core.logAllRefUpdates || :)" = always ]; then
    exactly core.logAllRefUpdates true 'a log of every claim and heartbeat grows without end, and keeps their objects'
  fi
  switched receive.fsckObjects true 'a damaged object is refused before a ref can point to it'
  not_below receive.maxInputSize 1073741824 2g 'a push of many results is larger than that, and would be refused for good'
  switched uploadpack.allowFilter true 'clients may leave out what they do not need'
  for key in uploadpack.keepAlive receive.keepAlive; do
    [ "$(own --type=int --get "$key" 2>/dev/null || :)" != 0 ] ||
      report "$key" 0 5 'proxies and workers take a silent connection for a dead one'
  done
  hidden
  branches
}

# Whether unreachable objects go after ten minutes to a day.
prune_is_short() {
  own --get gc.pruneExpire >/dev/null || return 1
  expiry=$(own --type=expiry-date --get gc.pruneExpire 2>/dev/null) || return 1
  # A timestamp before which things go; "never" is 0, "now" is the largest number of all.
  [ ${#expiry} -le 12 ] || return 1
  now=$(date +%s)
  [ "$expiry" -le $((now - 600)) ] && [ "$expiry" -ge $((now - 86400)) ]
}

# The states of tasks must be seen and pushed, whatever else is hidden.
hidden() {
  for key in transfer.hideRefs uploadpack.hideRefs receive.hideRefs; do
    verdict=shown
    for entry in $(own --get-all "$key" || :); do
      case $entry in
      '!refs' | '!refs/dgrid' | '!refs/heads' | '!refs/heads/dgrid') verdict=shown ;;
      refs | refs/dgrid | refs/dgrid/* | refs/heads | refs/heads/dgrid | refs/heads/dgrid/*) verdict=$entry ;;
      esac
    done
    [ "$verdict" = shown ] || person "$key hides $verdict: workers cannot work on what they cannot see; take it out"
  done
}

# With the fallback, states are branches: they move without ancestry and are deleted.
branches() {
  fallback=$("$GIT" --git-dir="$path" for-each-ref --count=1 refs/heads/dgrid/ 2>/dev/null || :)
  for key in receive.denyNonFastForwards receive.denyDeletes; do
    if [ -n "$fallback" ]; then
      [ "$(own --type=bool --get "$key" 2>/dev/null || :)" != true ] ||
        report "$key" true false 'this grid keeps its states below refs/heads/dgrid, where they have to move freely'
    elif [ "$protect" = yes ]; then
      switched "$key" true 'nobody loses history of a branch; states below refs/dgrid are no branches and stay free'
    fi
  done
}

# What a crash of the server leaves. Told, never touched: only a person can know that nothing runs.
leftovers() {
  find "$path/refs" "$path/packed-refs.lock" "$path/HEAD.lock" -name '*.lock' -mmin "+$STALE_LOCK_MINUTES" 2>/dev/null |
    while read -r lock; do
      echo "$path: $lock is older than $STALE_LOCK_MINUTES minutes: if no git runs in this repository, remove it"
    done
  "$GIT" --git-dir="$path" for-each-ref --format='%(refname) %(objectname)' 2>&1 >/dev/null |
    sed -n 's/^warning: ignoring \(broken\|dangling\) ref //p' | while read -r ref; do
    echo "$path: $ref holds no object id: no push succeeds until the file $path/$ref is mended or removed"
  done
  "$GIT" --git-dir="$path" for-each-ref --format='%(objectname) %(refname)' 2>/dev/null |
    "$GIT" --git-dir="$path" cat-file --batch-check='%(objecttype) %(rest)' 2>/dev/null |
    sed -n 's/ missing$//p' | while read -r id; do
    "$GIT" --git-dir="$path" for-each-ref --format='%(objectname) %(refname)' 2>/dev/null |
      sed -n "s/^$id //p" | while read -r ref; do
      echo "$path: $ref names the object $id, which is not there: no push succeeds until it is brought back or the ref deleted (git update-ref -d)"
    done
  done
}

for path in "$@"; do
  if ! [ -d "$path" ] || [ "$("$GIT" --git-dir="$path" rev-parse --is-bare-repository 2>/dev/null)" != true ]; then
    echo "tune-git-server.sh: $path is not a bare Git repository (of this user)" >&2
    exit 2
  fi
done
for path in "$@"; do
  tune
  found=$(leftovers)
  if [ -n "$found" ]; then
    echo "$found"
    result=1
  fi
done
exit "$result"
