#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Starts a real simple-server with this module, on a socket in a directory of its own, and talks to it.
#
#   SIMPLE_SERVER=PATH   another server than the installed one
#   WRAPPER=COMMAND      put before the server: WRAPPER='valgrind -q --error-exitcode=9'
#   KEEP_LOG=1           shows what the server wrote, also when all is well
set -u
cd "$(dirname "$0")" || exit 1

server=${SIMPLE_SERVER:-$(${PKG_CONFIG:-pkg-config} --variable=sbindir simple-server)/simple-server}
work=$(mktemp -d) || exit 1
pid=
failures=0

cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	wait
	if [ "$failures" != 0 ] || [ -n "${KEEP_LOG-}" ]; then
		sed 's/^/# server: /' "$work/log"
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

die() {
	echo "check.sh: $*" >&2
	failures=1
	exit 1
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		echo "ok - $1"
	else
		failures=$((failures + 1))
		printf 'not ok - %s\n# got: %s\n# wanted: %s\n' "$1" "$2" "$3"
	fi
}

# A module of your own user is refused otherwise, and so is a server of root.
# shellcheck disable=SC2086 # the wrapper is a list of words
set -- ${WRAPPER-} "$server" --config "$work/conf" --allow-own-modules
[ "$(id -u)" != 0 ] || set -- "$@" --allow-root

# The file that is shipped, but with a copy of the module: nobody else can write to where that is, which
# the server insists on.
install -m 755 @NAME@.so "$work" && : >"$work/log" || exit 1
sed "s|\"@NAME@\.so\"|\"$work/@NAME@.so\"|" @NAME@.conf >"$work/conf"
"$@" --check >"$work/log" 2>&1 || die "the server does not take @NAME@.conf or @NAME@.so"

# systemd-socket-activate becomes the server when the first client connects.
systemd-socket-activate --listen="$work/socket" --fdname=@NAME@ "$@" >>"$work/log" 2>&1 &
pid=$!
patience=100
until [ -S "$work/socket" ]; do
	if [ "$patience" = 0 ] || ! kill -0 "$pid" 2>/dev/null; then
		die "there is no socket to connect to"
	fi
	patience=$((patience - 1))
	sleep 0.05
done

# talk: sends standard input and the end of it, and prints what comes back.
if command -v socat >/dev/null; then
	talk() { timeout 20 socat -t 20 - "UNIX-CONNECT:$work/socket"; }
else
	talk() { timeout 20 nc -N -U "$work/socket"; } # of netcat-openbsd
fi

# ---- the tests: add yours here

is 'a line' "$(echo world | talk)" '1 hello world'
is 'two lines at once' "$(printf 'a\r\nb\n' | talk)" '1 hello a
2 hello b'
is 'a line without an end is none' "$(printf 'a' | talk)" ''
is 'a line that is too long ends the connection' "$(head -c 2000 /dev/zero | talk)" ''
is 'and the server goes on' "$(echo again | talk)" '1 hello again'

# ---- the end

kill "$pid" 2>/dev/null
wait "$pid"
is 'the server ends with exit status 0' $? 0
pid=
[ "$failures" = 0 ]
