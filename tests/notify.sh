#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What systemd is told, and the end: SIGTERM with live connections, a second one, and what is left of the
# sockets afterwards.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_name, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require nc ss
plan 28

config <<END
drain_timeout = 1.0;
sockets = (
  { name = "echo"; handler = "echo"; },
  { name = "local"; handler = "echo"; }
);
END
sockets="--tcp echo=127.0.0.1:0 --unix local=$work/echo.socket"

# shellcheck disable=SC2086 # a list of words, here and below
check 'it gets ready' start_server $sockets
check 'a connection right at READY=1 is served' "$client" "$TARGET_echo" churn 1
is 'READY=1 is sent once' "$(grep -c '^READY=1$' "$NOTIFY_LOG")" 1
check 'STATUS= tells of its sockets in numbers' wait_for 5 notified '^STATUS=.*[0-9]'
unlike 'no STOPPING=1 before the end' "$NOTIFY_LOG" '^STOPPING=1'

clients_start "$TARGET_echo" drain 50
stop_server
is 'SIGTERM with 50 live connections: exit status 0' "$daemon_status" 0
check 'each gets a clean end, no reset' clients_end
like 'STOPPING=1' "$NOTIFY_LOG" '^STOPPING=1$'
is 'READY=1 was sent before STOPPING=1' "$(grep -Eo '^(READY|STOPPING)=1' "$NOTIFY_LOG" | tr '\n' ' ')" \
	'READY=1 STOPPING=1 '
is 'the TCP socket still listens' "$(ss -Hltn "sport = :$PORT_echo" | wc -l)" 1
check 'and takes connections' nc -z 127.0.0.1 "$PORT_echo"
check 'the AF_UNIX socket is still in the file system' test -S "$work/echo.socket"
check 'and takes connections too' nc -z -U "$work/echo.socket"
end_play
is 'nothing else was wrong' "$play_status" 0

# Peers that do not read hold their bytes back: only the drain time-out ends them.
# shellcheck disable=SC2086
start_server $sockets
clients_start "$TARGET_echo" slow 2
stop_server
is 'SIGTERM with peers that do not read: exit status 0 after drain_timeout' "$daemon_status" 0
clients_end >/dev/null
end_play

# A drain of an hour, cut short.
config <<END
drain_timeout = 3600;
sockets = (
  { name = "echo"; handler = "echo"; timeouts: { linger = 60.0; }; }
);
END
start_server --self-stop --tcp echo=127.0.0.1:0
clients_start "$TARGET_echo" slow 2
kill -TERM "$DAEMON_PID"
check 'the first SIGTERM begins a drain of an hour' wait_for 10 notified '^STOPPING=1$'
check 'during which the server lives' kill -0 "$DAEMON_PID"
check 'and counts down' wait_for 10 notified '^STATUS=Stopping: 2 connections open, 359[0-8] s left;'
like 'while it asks systemd for time' "$NOTIFY_LOG" '^EXTEND_TIMEOUT_USEC=5000000$'
extended() {
	[ "$(grep -c '^EXTEND_TIMEOUT_USEC=5000000$' "$NOTIFY_LOG")" -ge "$1" ]
}
check 'again and again' wait_for 10 extended 3
if nc -z 127.0.0.1 "$PORT_echo"; then ok 'and new connections wait for the next server'
else not_ok 'and new connections wait for the next server'; fi
kill -TERM "$DAEMON_PID"
check 'the second SIGTERM ends it' wait_for 10 gone "$DAEMON_PID"
stop_server
is 'with exit status 0' "$daemon_status" 0
clients_end >/dev/null
is 'the socket still listens' "$(ss -Hltn "sport = :$PORT_echo" | wc -l)" 1
end_play

# A worker that cannot listen for some seconds must not lose an order, however often it is told to end.
stuck=$(command -v strace) || stuck=
if [ -z "$stuck" ] || [ "$sanitized" = 1 ] || ! strace -o /dev/null true 2>/dev/null; then
	skip 'two SIGTERM while a worker is stuck' 'strace cannot be used here' 2
else
	config <<-END
	workers = 1;
	sockets = ( { name = "echo"; handler = "echo"; } );
	END
	wrapper="$stuck -D -f -o $work/strace -e trace=recvfrom -e inject=recvfrom:delay_enter=3s:when=1"
	start_server --self-stop --timeout 10 --tcp echo=127.0.0.1:0
	wrapper=
	clients_start "$TARGET_echo" crowd 1
	check 'a worker is stuck' wait_for 5 notified '^STATUS=.* 1 connections open'
	kill -TERM "$DAEMON_PID"
	wait_for 5 notified '^STOPPING=1$'
	kill -TERM "$DAEMON_PID"
	stop_server
	is 'two SIGTERM meanwhile end it as soon as the worker is back' "$daemon_status" 0
	clients_end >/dev/null
	end_play
fi

# Type=simple, or a shell: nobody wants to be told.
echo_config echo
# shellcheck disable=SC2086 # nothing, or one word
is 'an empty NOTIFY_SOCKET is no trouble' "$(timeout 10 "$play" --timeout 2 --tcp echo=127.0.0.1:0 \
	--override NOTIFY_SOCKET= -- "$server" --config "$conf" $allow_root 2>/dev/null; echo $?)" 120
like 'and the service runs' "$DAEMON_LOG" '[Rr]eady|serving'
