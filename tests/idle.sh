#!/bin/sh
# SPDX-License-Identifier: MIT
#
# idle_exit: the server leaves when nobody is connected, and not before; whoever comes meanwhile waits for
# the next one.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_echo: set by start_server; allow_root: by lib.sh
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require socat ss
plan 12

# Long enough for a client to come on a busy machine.
config <<END
idle_exit = 2.0;
sockets = ( { name = "echo"; handler = "echo"; } );
END

answers() {
	[ "$(printf y | timeout 5 socat -t 5 - "TCP:127.0.0.1:$PORT_echo")" = y ]
}

# Somebody stays connected: the line comes back, and the end does not.
mkfifo "$work/hold"
start_server --self-stop --timeout 30 --tcp echo=127.0.0.1:0 || exit
timeout 30 socat -t 30 - "TCP:127.0.0.1:$PORT_echo" <"$work/hold" >"$work/held" &
holder=$!
exec 7>"$work/hold"
echo here >&7
check 'a client that stays is served' wait_for 5 grep -q here "$work/held"
check 'others come and go' answers
sleep 5 # nothing happens in this time, and that is the point: it would leave within 4 seconds
check 'the server stays with it' kill -0 "$DAEMON_PID"
check 'and it is still connected' kill -0 "$holder"
exec 7>&-
check 'without it the server leaves' wait_for 10 gone "$DAEMON_PID"
stop_server
is 'with exit status 0' "$daemon_status" 0
check 'after STOPPING=1' notified '^STOPPING=1$'
check 'and says why' logged 'there was no connection for 2 s'
is 'the socket still listens' "$(ss -Hltn "sport = :$PORT_echo" | wc -l)" 1
printf late | timeout 30 socat -t 30 - "TCP:127.0.0.1:$PORT_echo" >"$work/late" &
late=$!
waits() {
	[ "$(ss -Hltn "sport = :$PORT_echo" | awk '{ print $2 }')" = 1 ]
}
check 'who comes now waits in its queue' wait_for 5 waits
kill "$late" 2>/dev/null
end_play

start_server --self-stop --timeout 30 --tcp echo=127.0.0.1:0 || exit
check 'a server that nobody asks leaves as well' wait_for 10 gone "$DAEMON_PID"
stop_server
end_play

# IDLE_ROUNDS=10000: as many, however long that takes.
config <<END
idle_exit = 0.001;
workers = 2;
sockets = ( { name = "echo"; handler = "echo"; log: { connections = false; }; } );
END
race_seconds=20
[ -z "${IDLE_ROUNDS:-}" ] || race_seconds=3600
race() {
	# shellcheck disable=SC2086 # a list of words
	"$top_builddir/tests/idle-race" "${IDLE_ROUNDS:-500}" "$race_seconds" \
		"$server" --config "$conf" $allow_root 2>"$DAEMON_LOG" >"$work/race"
}
check 'clients that come when it is about to leave are served' race
diag "$(cat "$work/race")"
