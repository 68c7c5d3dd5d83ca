# What install.sh changes on a box. Sourced by it, with its variables; each function does nothing where it was done before.
# shellcheck shell=sh
# shellcheck disable=SC2154,SC2086 # the variables are those of install.sh, and its paths are constants

mark_changed() {
  [ "$dry" = yes ] || [ "$service" = no ] || : >$CHANGED
}

# put SOURCE TARGET OWNER GROUP MODE: whole or not at all, so that whoever reads it meanwhile sees one or the other.
put() {
  if cmp -s "$1" "$2" 2>/dev/null && [ "$(stat -c '%U:%G %a' "$2")" = "$3:$4 $5" ]; then return 0; fi
  mark_changed
  if [ "$dry" = yes ]; then
    say "would write $2 ($3:$4, $5)"
    return 0
  fi
  say "$2"
  install -o "$3" -g "$4" -m "$5" "$1" "$2.new"
  mv -f "$2.new" "$2"
}

put_package() {
  mark_changed
  run npm install --global --prefix "${BIN%/bin}" --no-fund --no-audit "$work/package.tgz"
}

# A program that runs keeps the file that it was started from. The earlier one stays until the new one is known to run.
put_program() {
  if ! cmp -s "$program" $BIN/dgrid; then
    mark_changed
    [ ! -f $BIN/dgrid ] || [ -e $BIN/$EARLIER ] || run ln $BIN/dgrid $BIN/$EARLIER
    say "$BIN/dgrid, version $version"
    run mv -f "$program" $BIN/dgrid
    program=$BIN/dgrid
  fi
  [ "$(readlink $BIN/dgrid-worker)" = dgrid ] || run ln -sfn dgrid $BIN/dgrid-worker
}

# make_user NAME HOME
make_user() {
  getent passwd "$1" >/dev/null || run useradd --system --gid dgrid --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1"
  [ -d "$2" ] || run install -d -o "$1" -g dgrid -m 0700 "$2"
}

make_users() {
  getent group dgrid >/dev/null || run groupadd --system dgrid
  make_user dgrid $STATE
  [ "$filter" = no ] || make_user dgrid-engine $FILTER_STATE
  [ -d $CONFIG ] || run install -d -o root -g dgrid -m 0750 $CONFIG
}

put_settings() {
  [ -z "$token" ] || put "$token" $CONFIG/git-token dgrid dgrid 400
  [ -z "$key" ] || put "$key" $CONFIG/ssh-key dgrid dgrid 400
  [ -z "$hosts" ] || put "$hosts" $CONFIG/known_hosts dgrid dgrid 400
  put "$work/worker.env" $ENV_FILE root dgrid 640
}

put_units() {
  for unit in $(units); do put "$(unit_file "$unit")" $UNITS/"$unit".service root root 644; done
  if [ "$filter" = yes ]; then
    printf '[Unit]\nWants=dgrid-engine-filter.service\nAfter=dgrid-engine-filter.service\n\n[Service]\nSupplementaryGroups=\n'
  elif [ "$engine_group" != docker ]; then
    printf '[Service]\nSupplementaryGroups=\nSupplementaryGroups=%s\n' "$engine_group"
  fi >"$work/drop-in"
  if [ -s "$work/drop-in" ]; then
    [ -d "${DROP_IN%/*}" ] || run mkdir -p "${DROP_IN%/*}"
    put "$work/drop-in" $DROP_IN root root 644
  elif [ -f $DROP_IN ]; then
    mark_changed
    run rm -f $DROP_IN
  fi
}

start_units() {
  # Without a running systemd, as while an image is made, "enable" is all that can be done.
  booted || start=no
  ! booted || run systemctl daemon-reload
  for unit in $(units); do run systemctl enable --quiet "$unit"; done
  if [ "$start" = no ]; then
    # Nobody is there who could tell that the new one does not stay up.
    run rm -f $BIN/$EARLIER
    say "set up, and not started: systemctl restart dgrid-worker"
    return 0
  fi
  [ ! -f $CHANGED ] || restart_units
  for unit in $(units); do run systemctl start "$unit"; done
  [ "$dry" = no ] || return 0
  stays_up || go_back
  rm -f $CHANGED $BIN/$EARLIER
  say "dgrid-worker $version runs: systemctl status dgrid-worker, journalctl --unit dgrid-worker --follow"
}

# A worker ends its tasks with the filter that it knows.
restart_units() {
  ! running || say "waiting for dgrid-worker to finish or hand back its tasks"
  run systemctl stop dgrid-worker
  [ "$filter" = no ] || run systemctl restart dgrid-engine-filter
}

stays_up() {
  sleep $SETTLE_SECONDS
  for unit in $(units); do
    systemctl is-active --quiet "$unit" || {
      journalctl --unit "$unit" --lines 20 --no-pager --output cat >&2 || :
      return 1
    }
  done
}

go_back() {
  [ -f $BIN/$EARLIER ] || fail "dgrid-worker does not stay up: see above, and journalctl --unit dgrid-worker"
  mv -f $BIN/$EARLIER $BIN/dgrid
  for unit in $(units | sort); do systemctl restart "$unit"; done
  fail "version $version does not stay up, so the earlier one runs again: see above, and journalctl --unit dgrid-worker"
}

booted() { [ -d /run/systemd/system ]; }
running() { booted && systemctl is-active --quiet dgrid-worker; }
unpublished() { [ -n "$(find $STATE/outbox -type f 2>/dev/null | head -n 1)" ]; }

uninstall() {
  if [ "$purge" = yes ] && unpublished && ! running; then
    fail "$STATE/outbox has results that are not yet published, and nobody else has them: start the worker until it is empty, or remove it first"
  fi
  for unit in dgrid-worker dgrid-engine-filter; do
    [ -f $UNITS/$unit.service ] || continue
    ! booted || run systemctl stop $unit
    run systemctl disable --quiet $unit
    run rm -f $UNITS/$unit.service
  done
  run rm -f $DROP_IN
  [ ! -d "${DROP_IN%/*}" ] || run rmdir --ignore-fail-on-non-empty "${DROP_IN%/*}"
  ! booted || run systemctl daemon-reload
  if [ "$(readlink $BIN/dgrid-worker)" = dgrid ]; then
    run rm -f $BIN/dgrid-worker $BIN/dgrid $BIN/$EARLIER
  elif [ -e $BIN/dgrid-worker ]; then
    run npm uninstall --global --prefix "${BIN%/bin}" d-grid
  fi
  if [ "$purge" = no ]; then
    say "removed; settings ($CONFIG) and state ($STATE) stay, --uninstall --purge removes them too"
    return 0
  fi
  # The worker that has just been stopped may have left some.
  ! unpublished || [ "$dry" = yes ] || fail "$STATE stays: its outbox has results that could not be published; install again for that, or remove it by hand"
  run rm -rf $CONFIG $STATE $FILTER_STATE
  for user in dgrid-engine dgrid; do ! getent passwd $user >/dev/null || run userdel $user; done
  ! getent group dgrid >/dev/null || run groupdel dgrid
  say "removed, with settings and state"
}
