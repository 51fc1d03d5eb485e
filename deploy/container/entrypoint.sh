#!/bin/sh
# The first process of a container: runs the gateway, passes signals on to it, and ends with its status.
#
#     entrypoint.sh [ARGUMENT...]      routeiq serve ARGUMENT...
#     entrypoint.sh COMMAND ...        any other command, when COMMAND does not begin with a dash
#
# The kernel withholds from process 1 every signal that it does not handle, so that a gateway that is still loading would
# not hear SIGTERM, and `docker stop` would end in SIGKILL. This shell hears it from the first moment.
set -eu

# What a gateway that was killed has left behind: a container that is restarted keeps its disk, and is process 1 again.
# Other gateways of this folder are those whose process is there.
base="${TMPDIR:-/tmp}"
for left in "$base"/routeiq-run.*; do
    owner="${left##*.}"
    if [ "$owner" = "$$" ] || ! kill -s 0 "$owner" 2>/dev/null; then
        rm -rf "$left"
    fi
done
run="$base/routeiq-run.$$"
mkdir -m 700 "$run"
export TMPDIR="$run"

case "${1:--}" in
-*) set -- routeiq serve "$@" ;;
esac

child=
asked=
pass_on() {
    asked="$1"
    [ -z "$child" ] || kill -s "$1" "$child" 2>/dev/null || true
}
for signal in TERM INT HUP USR2; do
    # shellcheck disable=SC2064
    trap "pass_on $signal" "$signal"
done

"$@" <&0 &
child=$!
# One that came before there was anybody to pass it on to.
[ -z "$asked" ] || pass_on "$asked"

# `wait` returns when a trap ran, with a status above 128, while the child still runs.
while :; do
    status=0
    wait "$child" || status=$?
    kill -s 0 "$child" 2>/dev/null || break
done
rm -rf "$run"
exit "$status"
