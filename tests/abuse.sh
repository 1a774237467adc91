#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Bad clients of every kind. In each case a good client has no error and its answers in time; and when
# the bad ones are gone, descriptors, memory, CPU and log are as before.
# shellcheck disable=SC2154 # DAEMON_PID, TARGET_name: set by start_server; fin, reset ...: by bad_end
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/abuse-lib.sh
. "${top_srcdir:-.}/tests/abuse-lib.sh"
plan 73

config <<'END'
workers = 2;
drain_timeout = 1.0;
defaults: {
	options: { tcp_defer_accept = 0; };
	timeouts: { write = 1.0; };
	log: { connections = false; };
};
sockets = (
	{ name = "plain"; handler = "echo"; },
	{ name = "hoard"; handler = "echo";
	  limits: { per_source = 40; connections = 60; };
	  timeouts: { first_byte = 1.0; idle = 1.0; }; },
	{ name = "drip"; handler = "echo"; timeouts: { first_byte = 0.5; idle = 0.5; }; },
	{ name = "greedy"; handler = "echo"; limits: { per_source = 20; connections = 200; }; },
	{ name = "chargen"; handler = "chargen"; },
	{ name = "daytime"; handler = "daytime"; }
);
END
check 'it starts' start_server --tcp plain=127.0.0.1:0 --tcp hoard=127.0.0.1:0 \
	--tcp drip=127.0.0.1:0 --tcp greedy=127.0.0.1:0 --tcp chargen=127.0.0.1:0 \
	--tcp daytime=127.0.0.1:0 || exit
case_baseline "$TARGET_plain"

# ---- connections that do nothing

case_begin "$TARGET_hoard"
bad --from 127.0.0.2 "$TARGET_hoard" bad 200
is 'idle hoard: one source gets what it may, and no more' \
	"$done $failed $open $((ended > 199))" '0 0 0 1'
at_least 'idle hoard: the time for the first byte is kept' "$max_ms" 990
at_least 'idle hoard: they end by a FIN' "$fin" 40
case_end 'idle hoard' 80

case_begin "$TARGET_hoard"
bad --from 127.0.0.2 --send 1 "$TARGET_hoard" bad 40
is 'idle after one byte: all end by a FIN' "$fin $in" '40 40'
at_least 'idle after one byte: not before the time' "$min_ms" 740
case_end 'idle after one byte' 80

# ---- slow ones

case_begin "$TARGET_plain"
bad --from 127.0.0.2 --send 10 --drip 150 --close "$TARGET_drip" bad 200
is 'drip: who makes progress is left alone' "$done $ended $in" '200 0 2000'
case_end 'drip' 2

# Kernel buffers are the peers' matter; of the server it is a buffer for each and no more.
slow_reader() {
	case_begin "$TARGET_plain"
	bad_start --from 127.0.0.2 --deaf --send 100000000 "$2" bad 20
	slow_kib=$(($(rss_kib "$DAEMON_PID") - start_kib))
	bad_wait
	is "slow readers of $1: reset after the time for writing" "$reset $fin $open" '20 0 0'
	if [ "$sanitized" = 1 ]; then
		skip "slow readers of $1: memory" 'a sanitizer has its own memory'
	else
		at_most "slow readers of $1: KiB of memory" "$slow_kib" 6144
	fi
	case_end "slow readers of $1" 2
}
slow_reader echo "$TARGET_plain"
slow_reader chargen "$TARGET_chargen"

# ---- ends

case_begin "$TARGET_plain"
bad --from 127.0.0.2 --send 1048576 --half-close "$TARGET_plain" bad 20
is 'half-close: every byte, then a FIN' "$fin $in" '20 20971520'
case_end 'half-close' 2

case_begin "$TARGET_plain"
bad --from 127.0.0.2 --rate 2000 --send 100 --reset "$TARGET_plain" bad 4000
is 'reset flood: all were connected' "$done $failed" '4000 0'
case_end 'reset flood' 2

# What the server has not read would make its kernel reset the connection, and the answer be lost.
case_begin "$TARGET_plain"
bad_start --from 127.0.0.2 --late --send 60000 "$TARGET_daytime" bad 20
bad_end
is 'close with unread input: a FIN' "$fin $reset" '20 0'
is 'close with unread input: the whole answer' "$((in >= 20 * 22 && in % 20 == 0))" 1
case_end 'close with unread input' 2

# ---- many

case_begin "$TARGET_greedy"
bad_start --from 127.0.0.2 --hold "$TARGET_greedy" bad 2000
sources_served() {
	"$abuser" --from 127.0.1.1 --sources 100 --send 1000 --close "$TARGET_greedy" bad 100 \
		</dev/null 3<&- 6<&- | grep 'done=100 fin=0 reset=0 failed=0 open=0 in=100000 '
}
check 'one greedy source: 100 others are served' sources_served
# Of the good client there are up to four.
greedy_has_its_part() {
	[ "$(fds "$DAEMON_PID")" -le $((start_fds + 24)) ]
}
wait_for 5 greedy_has_its_part
bad_end
at_most 'one greedy source: has no more than it may' "$open" 20
is 'one greedy source: the others were closed at once' "$failed $ended" "0 $((2000 - open))"
case_end 'one greedy source' 30
unlike 'one greedy source: nobody else was turned away' "$DAEMON_LOG" \
	'greedy: 127\.0\.1\..*turned away'

case_begin "$TARGET_plain"
bad --from 127.0.0.2 --send 100 --close "$TARGET_plain" bad 2000
is 'storm: all 2000 are served' "$done $failed $in" '2000 0 200000'
case_end 'storm' 2

stop_and_check 'it ends with 0'

# ---- accept() and its neighbours fail

if ! command -v strace >/dev/null || ! strace -D -qq -o /dev/null -e trace=none true 2>/dev/null; then
	skip 'errors of accept4' 'strace cannot be used' $((planned - count))
	exit
fi
config <<'END'
workers = 1;
drain_timeout = 1.0;
defaults: { log: { connections = false; }; };
sockets = ( { name = "plain"; handler = "echo"; } );
END
# shellcheck disable=SC2034 # for start_server, here and below
# Leaks are looked for with ptrace(2), which strace has already.
[ "$sanitized" = 0 ] || server_env=ASAN_OPTIONS=detect_leaks=0

# injected CALL:ERROR:WHEN NAME
injected() {
	# shellcheck disable=SC2034
	wrapper="strace -D -f -qq -o /dev/null -e trace=${1%%:*} -e inject=$1"
	check "$2: it starts" start_server --tcp plain=127.0.0.1:0
	start_fds=$(fds "$DAEMON_PID")
}

# Three calls of the only worker fail.
for error in EMFILE ENFILE ENOBUFS ENOMEM ECONNABORTED EPROTO EPERM ENETDOWN; do
	injected "accept4:error=$error:when=1..3" "$error"
	bad --send 16 --close "$TARGET_plain" bad 40
	is "$error: all are served" "$done $in" '40 640'
	case_lines=$(lines)
	stop_server
	end_play
	is "$error: few lines, exit status 0" "$((case_lines < 8)) $daemon_status" '1 0'
done

# The 21st call of the only worker, which is for its 21st connection.
for error in ENOMEM ENOSPC; do
	injected "epoll_ctl:error=$error:when=21" "epoll_ctl $error"
	bad_start --send 16 --hold "$TARGET_plain" bad 40
	wait_for 5 has_fds "$DAEMON_PID" $((start_fds + 39))
	bad_end
	is "epoll_ctl $error: one connection is lost, 39 are served" "$open $ended $in" '39 1 624'
	bad --send 16 --close "$TARGET_plain" bad 40
	is "epoll_ctl $error: all later ones are served" "$done $in" '40 640'
	stop_server
	end_play
	is "epoll_ctl $error: exit status 0" "$daemon_status" 0
done
