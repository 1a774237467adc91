#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The log without a journal: lines that a person can read, and not one for each connection of a flood.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_name, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require nc
plan 18

config <<'END'
sockets = (
  { name = "echo"; handler = "echo"; },
  { name = "quiet"; handler = "echo"; log: { connections = false; }; },
  { name = "local"; handler = "echo"; }
);
END
check 'it starts' start_server --tcp echo=127.0.0.1:0 --tcp quiet=127.0.0.1:0 \
	--unix "local=$work/local.socket"
check 'a line says that it is ready' wait_for 10 logged '^simple-server: .*(ready|serving)'
like 'and what it serves' "$DAEMON_LOG" 'echo'

echo hello | nc -N 127.0.0.1 "$PORT_echo" >/dev/null
check 'a line says that a connection ended' wait_for 10 logged '^simple-server: echo: connection 1 '
like 'and with whom' "$DAEMON_LOG" 'connection 1 from 127\.0\.0\.1:[0-9]+ '
like 'and why' "$DAEMON_LOG" 'connection 1 .*peer-closed'
like 'and how many bytes it had' "$DAEMON_LOG" 'connection 1 .*\b6 bytes in, 6 (bytes )?out'

"$client" "$TARGET_echo" reset 1 >/dev/null
check 'a reset is told as such' wait_for 10 logged '^simple-server: echo: connection 2 .*reset'

echo hello | nc -N -U "$work/local.socket" >/dev/null
check 'an AF_UNIX peer is a process and a user' wait_for 10 logged \
	"^simple-server: local: connection 3 from pid [0-9]+ uid $(id -u)\\b"

"$client" "$TARGET_quiet" churn 3 >/dev/null
"$client" "$TARGET_echo" churn 1 >/dev/null
check 'the next connection is told' wait_for 10 logged '^simple-server: echo: connection 7 '
unlike 'log: { connections = false; } keeps others out' "$DAEMON_LOG" ': quiet: connection'

# ---- a flood

lines_before=$(wc -l <"$DAEMON_LOG")
"$client" "$TARGET_echo" churn 2000 >/dev/null
sum_of_left_out() {
	sed -n 's/.*: \([0-9]*\) more .*connection.* left out.*/\1/p' "$DAEMON_LOG" |
		awk '{ n += $1 } END { print n + 0 }'
}
told() {
	tail -n "+$((lines_before + 1))" "$DAEMON_LOG" | grep -c ': echo: connection '
}
all_counted() {
	[ $(($(told) + $(sum_of_left_out))) -ge 2000 ]
}
check 'lines and those counted as left out are 2000 together' wait_for 10 all_counted
at_most 'lines for 2000 connections' "$(told)" 200
at_most 'as many as there were, not more' $(($(told) + $(sum_of_left_out))) 2000

# What a client sends is its own business.
printf 'canary-7f3a\033[31m\n<0>canary\n' | nc -N 127.0.0.1 "$PORT_echo" >/dev/null
stop_server
like 'a line says that it stops' "$DAEMON_LOG" '^simple-server: .*stop'
unlike 'no byte of a client gets into the log' "$DAEMON_LOG" 'canary'
is 'lines without the name in front' "$(grep -vc '^simple-server: ' "$DAEMON_LOG")" 0
is 'it ends with 0' "$daemon_status" 0
