#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Out of file descriptors: as many connections as fit are served, the rest waits in the backlog without a
# loop that spins, one line says so, and all are served once there is room.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_name, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require prlimit
plan 10

config <<'END'
workers = 2;
drain_timeout = 1.0;
defaults: { log: { connections = false; }; };
sockets = ( { name = "echo"; handler = "echo"; } );
END
wrapper='prlimit --nofile=64:64'
check 'it starts with 64 descriptors' start_server --tcp echo=127.0.0.1:0
start_fds=$(fds "$DAEMON_PID")

# Of 64; accept() may fail at any of the last few.
all_used() {
	[ "$(fds "$DAEMON_PID")" -ge 60 ]
}

check '200 clients connect and send' clients_start "$TARGET_echo" crowd 200
check 'the server says that it takes no more' wait_for 10 logged '[Tt]oo many open files|accept'
check 'it uses what it has' wait_for 10 all_used
if [ "$sanitized" = 1 ]; then
	skip 'it waits quietly' 'a sanitizer has its own threads'
else
	ticks_before=$(ticks "$DAEMON_PID")
	sleep 1 # this is the measurement: a loop that spins takes 100 and more
	at_most 'ticks of CPU time in a second of waiting' $(($(ticks "$DAEMON_PID") - ticks_before)) 5
fi
at_most 'lines in its log about it' \
	"$(grep -Eci 'too many open files|paused' "$DAEMON_LOG")" 1
check 'all 200 are served when descriptors come free' clients_end
check 'and their descriptors are closed' wait_for 10 has_fds "$DAEMON_PID" "$start_fds"

# What systemd has to know at the end does not need a free descriptor.
clients_start "$TARGET_echo" crowd 200
wait_for 10 all_used
stop_server
like 'STOPPING=1 is sent with all descriptors in use' "$NOTIFY_LOG" '^STOPPING=1$'
is 'and it ends with 0' "$daemon_status" 0
clients_end >/dev/null || : # the server has left most of them alone
