# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# For the tests of the whole server; they source this. TAP, helpers to start and stop a server that gets
# its sockets as from PID 1 (play-systemd), clients that stay open while the test looks around.
#
# Nothing here waits by sleeping but wait_for, for what gives no event; that is bounded.
set -u

top_builddir=${top_builddir:-.}
top_srcdir=${top_srcdir:-.}
server=$top_builddir/src/simple-server
play=$top_builddir/tests/play-systemd
client=$top_builddir/tests/echo-check
work=$(mktemp -d "${TMPDIR:-/tmp}/simple-server-test.XXXXXX") || exit 99
DAEMON_LOG=$work/daemon.log
NOTIFY_LOG=$work/notify.log
export DAEMON_LOG NOTIFY_LOG
play_pid=
clients_pid=

# The server refuses to run as root unless told otherwise.
allow_root=
[ "$(id -u)" != 0 ] || allow_root=--allow-root

# Sanitizers have memory, threads and a clock of their own.
sanitized=${SIMPLE_SERVER_SANITIZED:-0}
if grep -aq '__[atm]san_init' "$server" 2>/dev/null; then
	# shellcheck disable=SC2034 # for those who source this
	sanitized=1
fi

# ---- TAP

planned=0
count=0
failures=0

plan() {
	planned=$1
	echo "1..$1"
}

ok() {
	count=$((count + 1))
	echo "ok $count - $1"
}

# not_ok NAME [DIAGNOSTIC...]: fails, so that a test may end where it makes no sense to go on.
not_ok() {
	count=$((count + 1))
	failures=$((failures + 1))
	echo "not ok $count - $1"
	shift
	for line; do diag "$line"; done
	[ ! -s "$DAEMON_LOG" ] || diag "the last lines of the server:" "$(tail -n 5 "$DAEMON_LOG")"
	return 1
}

diag() {
	printf '%s\n' "$@" | sed 's/^/# /'
}

# check NAME COMMAND...: the command has to succeed; what it prints is shown when it does not.
check() {
	check_name=$1
	shift
	if "$@" >"$work/check.out" 2>&1; then
		ok "$check_name"
	else
		not_ok "$check_name" "$* failed with $?:" "$(tail -n 10 "$work/check.out")"
	fi
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got: $2" "wanted: $3"; fi
}

# at_most NAME GOT MAXIMUM
at_most() {
	if [ "$2" -le "$3" ]; then ok "$1 ($2)"; else not_ok "$1" "got $2, at most $3"; fi
}

# like NAME FILE REGEX: some line matches.
like() {
	if grep -Eq -e "$3" "$2"; then
		ok "$1"
	else
		not_ok "$1" "no line like: $3" "in:" "$(head -n 20 "$2")"
	fi
}

# unlike NAME FILE REGEX
unlike() {
	if grep -Eq -e "$3" "$2"; then
		not_ok "$1" "there should be no: $(grep -Em 1 -e "$3" "$2")"
	else
		ok "$1"
	fi
}

# skip NAME REASON [HOW-MANY]
skip() {
	skip_left=${3:-1}
	while [ "$skip_left" -gt 0 ]; do
		skip_left=$((skip_left - 1))
		count=$((count + 1))
		echo "ok $count - $1 # SKIP $2"
	done
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

require() {
	for program; do
		command -v "$program" >/dev/null || skip_all "$program is missing"
	done
}

# ---- the end

cleanup() {
	status=$?
	trap - EXIT
	# What they started dies with them.
	[ -z "$clients_pid" ] || kill "$clients_pid" 2>/dev/null
	[ -z "$play_pid" ] || kill "$play_pid" 2>/dev/null
	wait
	rm -rf "$work"
	if [ "$count" != "$planned" ] && [ "$planned" != 0 ]; then
		diag "$count of $planned tests were run"
		exit 99
	fi
	[ "$failures" = 0 ] || exit 1
	exit "$status"
}
trap cleanup EXIT
trap 'exit 99' HUP INT TERM

# ---- waiting

# wait_for SECONDS COMMAND...: looks 20 times a second.
wait_for() {
	wait_left=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		wait_left=$((wait_left - 1))
		[ "$wait_left" -gt 0 ] || return 1
		sleep 0.05
	done
}

# Whether some line of the server's log matches; for wait_for.
logged() {
	grep -Eq -e "$1" "$DAEMON_LOG"
}

notified() {
	grep -Eq -e "$1" "$NOTIFY_LOG"
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

# ---- what /proc says of a process

fds() {
	set -- "/proc/$1/fd/"*
	echo $#
}

has_fds() {
	[ "$(fds "$1")" = "$2" ]
}

rss_kib() {
	awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"
}

# User and system time, in ticks of 10 ms.
ticks() {
	awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}

# How often its threads went to sleep: an idle server never wakes up.
sleeps() {
	awk '/^voluntary_ctxt_switches:/ { n += $2 } END { print n }' "/proc/$1/task/"*/status
}

# ---- the server

conf=$work/simple-server.conf

# Takes the configuration from standard input.
config() {
	cat >"$conf"
}

# A configuration with an echo section for each name.
echo_config() {
	{
		echo "sockets = ("
		separator=
		for name; do
			printf '%s  { name = "%s"; handler = "echo"; }' "$separator" "$name"
			separator=',
'
		done
		echo
		echo ");"
	} | config
}

# start_server PLAY-OPTION...: returns when the server is ready, with DAEMON_PID and for each socket
# ADDR_name, PORT_name, TARGET_name. `wrapper` is put before the program: wrapper="prlimit --nofile=64".
#
# play-systemd's commands tell us by one FIFO (8) where they are, and wait by the other (9) until we let
# them go on. Both are open here for reading and writing, so that no open() and no write() waits.
wrapper=
start_server() {
	[ -z "$play_pid" ] || end_play
	rm -f "$work/up" "$work/down" "$DAEMON_LOG" "$NOTIFY_LOG"
	mkfifo "$work/up" "$work/down" || exit 99
	exec 8<>"$work/up" 9<>"$work/down"
	# shellcheck disable=SC2016,SC2086 # for the inner shells; lists of words
	{
		sh -c 'echo $$ >"$0/play.pid"; exec "$@"' "$work" \
			"$play" --timeout 300 "$@" --run 'export -p | grep -E "^export (ADDR_|PORT_|TARGET_|DAEMON_PID)" \
				>"$WORK/env"; echo ready >"$WORK/up"; read -r _ <"$WORK/down"' \
			--after 'echo stopped "$DAEMON_STATUS" >"$WORK/up"; read -r _ <"$WORK/down"' \
			--override "$server_env" -- $wrapper "$server" --config "$conf" $allow_root
		echo "ended $?" >&8
	} 2>"$work/play.err" &
	read -r play_says _ <&8
	play_pid=$(cat "$work/play.pid")
	if [ "$play_says" != ready ]; then
		play_pid=
		diag "the server did not start:" "$(cat "$work/play.err" "$DAEMON_LOG")"
		return 1
	fi
	# shellcheck source=/dev/null
	. "$work/env"
}
WORK=$work
export WORK
server_env=PLAYED=1 # one more variable of the server's environment

# stop_server: SIGTERM and the end; sets daemon_status. The sockets are still there, as PID 1 holds them.
stop_server() {
	echo >&9
	read -r play_says daemon_status <&8
	[ "$play_says" = stopped ] || daemon_status="none ($play_says)"
}

# end_play: lets go of the sockets; sets play_status, 0 when all went as it should.
end_play() {
	echo >&9
	while read -r play_says play_status <&8; do
		[ "$play_says" != ended ] || break
		echo >&9
	done
	play_pid=
	exec 8>&- 9>&-
}

# stop_and_check NAME: the server ends with 0, in time, and without a word of a sanitizer.
stop_and_check() {
	stop_server
	end_play
	if [ "$daemon_status" = 0 ] && [ "$play_status" = 0 ] &&
		! grep -Eq 'ERROR: .*Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$DAEMON_LOG"; then
		ok "$1"
	else
		not_ok "$1" "exit status $daemon_status" "$(cat "$work/play.err")" \
			"$(grep -E -A 12 'Sanitizer|runtime error:' "$DAEMON_LOG" | head -n 40)"
	fi
}

# refusal STATUS PLAY-OPTION...: the server has to end by itself with STATUS and never be ready; its
# output is in $DAEMON_LOG. `server_args` are its arguments.
server_args=$allow_root
refusal() {
	refusal_status=$1
	shift
	rm -f "$DAEMON_LOG"
	# shellcheck disable=SC2086 # a list of words
	"$play" --timeout 20 --expect-exit "$refusal_status" "$@" -- \
		"$server" --config "$conf" $server_args 2>"$work/play.err"
}

# refuses NAME REGEX PLAY-OPTION...: exit status 78 and one line, which matches.
refuses() {
	refuses_name=$1
	refuses_regex=$2
	shift 2
	if ! refusal 78 "$@"; then
		not_ok "$refuses_name" "$(cat "$work/play.err")"
	elif [ "$(wc -l <"$DAEMON_LOG")" != 1 ]; then
		not_ok "$refuses_name" "more or less than one line"
	else
		like "$refuses_name" "$DAEMON_LOG" "$refuses_regex"
	fi
}

# ---- clients

# clients_start ADDRESS MODE [N [SEED]]: returns when they are open (echo-check --hold).
clients_start() {
	rm -f "$work/clients.in" "$work/clients.out"
	mkfifo "$work/clients.in" "$work/clients.out" || exit 99
	exec 6<>"$work/clients.out" 7<>"$work/clients.in"
	# shellcheck disable=SC2016 # for the inner shell
	{
		sh -c 'echo $$ >"$0/clients.pid"; exec "$@"' "$work" \
			"$client" --hold "$@" <"$work/clients.in" 2>"$work/clients.err"
		echo "ended $?"
	} >"$work/clients.out" &
	read -r clients_say _ <&6
	clients_pid=$(cat "$work/clients.pid")
	[ "$clients_say" = open ] || {
		clients_pid=
		diag "the clients did not open:" "$(cat "$work/clients.err")"
		return 1
	}
}

# clients_end: lets them finish; fails where they do.
clients_end() {
	echo >&7
	while read -r clients_say clients_status <&6; do
		[ "$clients_say" != ended ] || break
	done
	clients_pid=
	exec 6>&- 7>&-
	cat "$work/clients.err"
	[ "$clients_status" = 0 ]
}
