# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154 # for and of those who source this
#
# For the tests of what outlives a process; beside lib.sh, which they source first: a server over its
# lives, which keep-systemd starts again as PID 1 would, with what it had stored.

keep=$top_builddir/tests/keep-systemd
load=$top_builddir/src/simple-client
keep_pid=

# begin KEEP-OPTION...: the server's log of all its lives is $DAEMON_LOG.
begin() {
	rm -f "$work/say" "$work/do"
	mkfifo "$work/say" "$work/do" || exit 99
	exec 8<>"$work/say" 9<>"$work/do"
	: >"$DAEMON_LOG"
	# shellcheck disable=SC2086 # a list of words
	"$keep" "$@" -- "$server" --config "$conf" --allow-own-modules --ignore-unknown-sockets \
		$allow_root <"$work/do" >"$work/say" 2>"$DAEMON_LOG" &
	keep_pid=$!
	expect port && port=$told
	expect ready
}

# expect WORD: what keep-systemd says next; what comes with it is in `told` and `told_2`.
expect() {
	read -r said told told_2 <&8
	[ "$said" = "$1" ] && return
	diag "keep-systemd said $said $told instead of $1"
	return 1
}

tell() {
	echo "$*" >&9
}

restarted() {
	tell restart
	expect died && [ "$told" = 0 ] && expect ready
}

# crashed SIGNAL: the process after that is ready.
crashed() {
	tell "send $1"
	expect died && expect ready
}

ended() {
	expect died && [ "$told" = 0 ]
}

# finish NAME: the end is clean.
finish() {
	tell stop
	check "$1" ended
	wait "$keep_pid"
	keep_pid=
}

# keep-systemd takes its daemon along.
trap '[ -z "$keep_pid" ] || kill "$keep_pid"; cleanup' EXIT

# connection NAME: one to the server, held by socat; NAME.in is what it sends, and see got.
connection() {
	mkfifo "$work/$1.in"
	timeout 60 socat -t 1 - "TCP:127.0.0.1:$port" <"$work/$1.in" >"$work/$1.out" 2>/dev/null &
	socat=$!
}

got() {
	grep -Eqx -e "$2" "$work/$1.out"
}
