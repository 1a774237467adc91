#!/bin/sh
# SPDX-License-Identifier: MIT
#
# idle_exit: the server leaves when nobody is connected, and not before; whoever comes meanwhile waits for
# the next one.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_echo: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require socat ss
plan 11

config <<END
idle_exit = 0.1;
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
# The status follows a last connection by five seconds at most, and the server leaves 0.1 s later.
sleep 6 # nothing happens in this time, and that is the point
check 'the server stays with it' kill -0 "$DAEMON_PID"
check 'and it is still connected' kill -0 "$holder"
exec 7>&-
check 'without it the server leaves' wait_for 10 gone "$DAEMON_PID"
stop_server
is 'with exit status 0' "$daemon_status" 0
check 'after STOPPING=1' notified '^STOPPING=1$'
check 'and says why' logged 'there was no connection for 0\.1 s'
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
