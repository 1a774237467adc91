#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Echo over every kind of socket, byte for byte: one client, a thousand, ten thousand; slow ones; and
# what the server is left with afterwards.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_name, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require nc socat
plan 32

# shellcheck disable=SC3045 # every sh of Debian has them
ulimit -n "$(ulimit -Hn)"
crowd=10000
# shellcheck disable=SC3045
files=$(ulimit -n)
[ "$files" -ge $((crowd + 200)) ] || crowd=$((files - 200))

have_v6=
! grep -q . /proc/net/if_inet6 2>/dev/null || have_v6=1

head -c 1048576 /dev/urandom >"$work/payload"

# echoes NAME COMMAND...: what the command sends comes back, and then the end: nc and socat stay until
# the server closes.
echoes() {
	echoes_name=$1
	shift
	timeout 20 "$@" <"$work/payload" >"$work/echo" 2>"$work/echo.err"
	check "$echoes_name" cmp "$work/payload" "$work/echo"
}

echo_config v4 v6 dual local several siblings
set -- --tcp v4=127.0.0.1:0 --unix "local=$work/echo.socket" --tcp several=127.0.0.1:0 \
	--tcp several=127.0.0.2:0 --unix "several=$work/several.socket" \
	--reuseport siblings=127.0.0.1:0,3
if [ -n "$have_v6" ]; then
	set -- "$@" --v6only 'v6=[::1]:0' --tcp 'dual=[::]:0'
else
	echo_config v4 local several siblings
fi
check 'it starts with every kind of stream socket' start_server --timeout 300 "$@" || exit
start_fds=$(fds "$DAEMON_PID")

last_status() {
	grep '^STATUS=' "$NOTIFY_LOG" | tail -n 1 | grep -Eq -e "$1"
}

# A second in which no thread wakes up. What was still going on may spoil the first ones.
asleep() {
	for _ in 1 2 3 4; do
		sleeps_before=$(sleeps "$1")
		sleep 1 # this is the measurement
		sleeps_after=$(sleeps "$1")
		[ "$sleeps_after" != "$sleeps_before" ] || return 0
		echo "woke up $((sleeps_after - sleeps_before)) times in a second"
	done
	return 1
}

# idle_crowd: all open at once; sets rss_open.
rss_open=0
idle_crowd() {
	clients_start "$TARGET_v4" idle "$crowd" || return 1
	rss_open=$(rss_kib "$DAEMON_PID")
	clients_end
}

"$client" "$TARGET_v4" churn 100 >"$work/check.out"
rss_before=$(rss_kib "$DAEMON_PID")
check "$crowd idle connections at once" idle_crowd
first_rss=$rss_open
check 'and once more' idle_crowd
if [ "$sanitized" = 1 ]; then
	skip 'memory of idle connections' 'a sanitizer has its own memory' 2
else
	# 192 bytes are the goal; whole pages and a worker's growth are seen here too.
	at_most 'bytes of memory for an idle connection' \
		$(((first_rss - rss_before) * 1024 / crowd)) 256
	# malloc() has an arena for each thread and needs some crowds to settle; a connection that is
	# not freed would be 1600 KiB here.
	at_most 'KiB of memory that the second crowd took beyond the first' \
		$((rss_open - first_rss)) 1000
fi

echoes 'IPv4, nc -N: 1 MiB and then half-close' nc -N 127.0.0.1 "$PORT_v4"
echoes 'IPv4, socat: 1 MiB and then half-close' socat -t 10 - "TCP4:127.0.0.1:$PORT_v4"
echoes 'AF_UNIX, nc -N' nc -N -U "$work/echo.socket"
echoes 'AF_UNIX, socat' socat -t 10 - "UNIX-CONNECT:$work/echo.socket"
if [ -n "$have_v6" ]; then
	echoes 'IPv6, nc -N' nc -N ::1 "$PORT_v6"
	echoes 'IPv6, socat' socat -t 10 - "TCP6:[::1]:$PORT_v6"
	echoes 'dual-stack socket over IPv6' nc -N ::1 "$PORT_dual"
	echoes 'dual-stack socket over IPv4' nc -N 127.0.0.1 "$PORT_dual"
	check '200 connections of random sizes, IPv6' "$client" "$TARGET_v6" random 200 3
else
	skip 'IPv6' 'there is no IPv6 here' 5
fi
echoes 'the first socket of a name' nc -N 127.0.0.1 "$PORT_several"
echoes 'the second socket of a name' nc -N 127.0.0.2 "$PORT_several_2"
echoes 'the third socket of a name' nc -N -U "$work/several.socket"
# The kernel spreads connections over the siblings: one that is not served would keep some waiting.
check 'each SO_REUSEPORT sibling is served' "$client" "$TARGET_siblings" idle 300
check 'a connection that sends nothing and ends is no trouble' nc -z 127.0.0.1 "$PORT_v4"

check 'short connections' "$client" "$TARGET_v4" churn 2000
check 'connections that end by a reset' "$client" "$TARGET_v4" reset 1000
check '1000 connections of random sizes up to 1 MiB with pauses and half-close' \
	"$client" "$TARGET_v4" random 1000 1
check '200 connections of random sizes, AF_UNIX' "$client" "$TARGET_local" random 200 2

# recv(2) stops at urgent data as if there was no more; the bytes behind it have made no edge of their own
# when all came at once, as they do for a server that was stopped.
kill -STOP "$DAEMON_PID"
clients_start --timeout 10 "$TARGET_v4" urgent 10
kill -CONT "$DAEMON_PID"
check 'bytes behind urgent data are not forgotten' clients_end

# Twenty peers that never read: each holds its buffer and no more, and others are served meanwhile.
rss_before=$(rss_kib "$DAEMON_PID")
check 'peers that do not read stop the server from reading' clients_start "$TARGET_v4" slow 20
if [ "$sanitized" = 1 ]; then
	skip 'memory of slow connections' 'a sanitizer has its own memory'
else
	at_most 'KiB of memory for 20 peers that do not read' \
		$(($(rss_kib "$DAEMON_PID") - rss_before)) 8192
fi
check 'others are served meanwhile' "$client" "$TARGET_v4" random 50 4
check 'every byte comes when they read at last' clients_end

check "all descriptors are closed afterwards ($start_fds)" \
	wait_for 10 has_fds "$DAEMON_PID" "$start_fds"

# What a sanitizer does in the background wakes up.
if [ "$sanitized" = 1 ]; then
	skip 'an idle server never wakes up' 'a sanitizer has its own threads' 2
else
	clients_start "$TARGET_v4" idle 100
	# STATUS= follows at a distance; after it there is nothing left to do.
	check '100 idle connections' wait_for 10 last_status 'STATUS=.* 100 connections open'
	check 'an idle server never wakes up' asleep "$DAEMON_PID"
	clients_end >/dev/null
fi
stop_and_check 'it ends with 0'
