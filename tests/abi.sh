#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The promise to those who have written a module: what was compiled against the header of an older version
# of the binary interface runs, call by call and callback by callback.
#
# tests/abi/simple-server-1.h is the header of version 1 as it was, and tests/abi/module-1.c a module that
# uses all of it. When a release adds calls or callbacks, that header stays as it is, and the new ones get a
# second pair: cp src/simple-server.h tests/abi/simple-server-2.h, a module-2.c for what is new, and
# another run below. tests/abi/layout.c gets the new lines.
# shellcheck disable=SC2154 # DAEMON_PID, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require socat nm
plan 48

abi=$top_srcdir/tests/abi
patience=20
CC=${CC:-cc}
allow_root="$allow_root --allow-own-modules"
server_args=$allow_root

# shellcheck disable=SC2086 # a compiler may be several words
compile() {
	$CC "$@"
}

# ---- at compile time

if [ "$(getconf LONG_BIT)" = 64 ]; then
	check 'nothing in the header has moved, changed its size or its number' \
		compile -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -I "$top_srcdir/src" "$abi/layout.c"
else
	skip 'nothing in the header has moved, changed its size or its number' 'not a machine of 64 bits'
fi
check 'the module of version 1 compiles as it did' compile -std=c99 -pedantic -Wall -Wextra -Werror \
	-fPIC -shared -o "$work/module-1.so" "$abi/module-1.c" || exit

# The frozen header declares no call that the module does not make, and no member that it does not set.
sed -n 's/^\(SS_EXPORT \)\{0,1\}[a-z].*[ *]\(ss_[a-z_]*\)(.*/\2/p' "$abi/simple-server-1.h" |
	grep -Ev '^ss_(module|frame_.*)$' | sort -u >"$work/declared"
nm -D "$work/module-1.so" | sed -n 's/^ *U \(ss_[a-z_]*\)$/\1/p' | sort -u >"$work/called"
is 'it makes each call of the header' "$(cat "$work/called")" "$(cat "$work/declared")"
sed -n '/^struct ss_handler {/,/^};/s/.*(\*\([a-z_]*\))(.*/\1/p' "$abi/simple-server-1.h" | sort >"$work/members"
sed -n 's/^\t\.\([a-z_]*\) = module_.*/\1/p' "$abi/module-1.c" | sort >"$work/set"
is 'it has each callback of the header' "$(cat "$work/set")" "$(cat "$work/members")"
is 'of which there are' "$(wc -l <"$work/members")" 12

# ---- in the server

# section SETTINGS
section() {
	config <<-END
	workers = 2;
	sockets = (
	  { name = "abi"; handler = "module"; module = "$work/module-1.so"; settings: { $1 };
	    options: { so_sndbuf = 65536; }; limits: { output = 16777216; }; timeouts: { linger = 10.0; }; }
	);
	END
}

check_conf() {
	# shellcheck disable=SC2086 # a list of words
	"$server" --config "$conf" $server_args --check
}

section ''
check 'the server takes it' check_conf
section 'number = 13;'
check_conf >"$work/out" 2>&1
is 'check() refuses: exit status' $? 78
like 'with its own words' "$work/out" "^$conf:3: .*\"module-1\": number cannot be 13\$"
section 'number = 101;'
check_conf >"$work/out" 2>&1
like 'a key out of its range' "$work/out" "^$conf:3: .*number.*-5 to 100"
section 'numbr = 10;'
check_conf >"$work/out" 2>&1
like 'a key that it does not have' "$work/out" "^$conf:3: .*numbr.*did you mean \"number\""

# start SETTINGS
start() {
	section "$1"
	start_server --tcp abi=127.0.0.1:0
}

# talk LINE...: sends the lines, then the end, and prints what comes back.
talk() {
	printf '%s\n' "$@" | timeout $patience socat -t $patience - "TCP4:$TARGET_abi"
}

# answers NAME ANSWER LINE...: what comes between the greeting of open() and what eof() says.
answers() {
	answers_name=$1
	answers_wanted=$2
	shift 2
	talk "$@" >"$work/answer"
	is "$answers_name" "$(sed '1d;$d' "$work/answer")" "$answers_wanted"
}

check 'it starts' start '' || exit
start_fds=$(fds "$DAEMON_PID")
is 'load(), once' "$(grep -c '^module-1: load$' "$DAEMON_LOG")" 1
is 'start(), once' "$(grep -c '^module-1: start$' "$DAEMON_LOG")" 1
is 'worker_start(), in each worker' "$(grep -c '^module-1: worker_start$' "$DAEMON_LOG")" 2
like 'ss_log() without a connection' "$DAEMON_LOG" 'start of abi$'
is 'open(), data(), eof(), ss_write()' "$(talk one)" 'open
1 one
eof '
is 'ss_rest()' "$(printf 'one\nhalf' | timeout $patience socat -t $patience - "TCP4:$TARGET_abi")" 'open
1 one
eof half'
check 'close()' wait_for $patience logged '^module-1: close 0$'
answers 'ss_set_state(), ss_state(), ss_lines()' '1 a
2 b
3 c' a b c
is 'a line that is too long ends the connection' "$(talk "$(printf '%0101d' 0)" more)" 'open
too long'
answers 'ss_settings(): what holds at first' '1 7 1500 1 1099511627776 hello none' settings
talk who >"$work/answer"
like 'ss_service_name(), ss_peer(), ss_id(), ss_now()' "$work/answer" '^abi 127\.0\.0\.1:[0-9]+ ok$'
answers 'ss_frame_prefixed(), ss_frame_exact(), ss_frame_line()' '5 abc 4 hell 5 one 1 1' frames

# ---- many at once

crowded() {
	[ "$(grep -c '^worker' "$work/crowd")" = 8 ]
}

# They wait for the end of a FIFO that this shell alone holds open.
crowd() {
	mkfifo "$work/gate"
	exec 5<>"$work/gate"
	: >"$work/crowd"
	crowd_pids=
	for _ in 1 2 3 4 5 6 7 8; do
		(
			exec 5>&-
			echo worker
			exec cat "$work/gate"
		) | timeout $patience socat -t $patience - "TCP4:$TARGET_abi" 5>&- >>"$work/crowd" &
		crowd_pids="$crowd_pids $!"
	done
	wait_for $patience crowded
	crowd_status=$?
	wait_for 15 notified '^STATUS=.*; abi: lines [0-9]+, open 8'
	exec 5>&-
	# shellcheck disable=SC2086 # a list of numbers
	wait $crowd_pids
	return $crowd_status
}
check 'eight connections at once' crowd
is 'ss_worker_index(): they are on both workers' \
	"$(sed -n 's/^worker \([01]\) .*/\1/p' "$work/crowd" | sort -u | tr '\n' ' ')" '0 1 '
is 'ss_worker_state(), ss_worker_service() of each' "$(grep -c '^worker [01] counts same$' "$work/crowd")" 8
like 'ss_count(), also down: the sums in the status' "$NOTIFY_LOG" '^STATUS=.*; abi: lines [1-9][0-9]*, open 8'

# ---- output

# Beyond what the kernel buffers: writable() comes when the last of it is on its way.
answers_much() {
	echo "$1" | timeout $patience socat -t $patience - "TCP4:$TARGET_abi,rcvbuf=65536" >"$work/answer"
	[ "$(sed -n 2p "$work/answer" | wc -c)" = "$2" ] || return
	sed -n 2p "$work/answer" | tr -d "$3" | cmp - "$work/newline" && sed '1,2d' "$work/answer" | cmp - "$work/end"
}
echo >"$work/newline"
printf 'writable\neof \n' >"$work/end"
check 'ss_write() of 8 MiB, ss_queued(), writable()' answers_much queue $((8 << 20)) q
printf 'eof \n' >"$work/end"
check 'ss_blob_new(), ss_send_blob()' answers_much blob $((1 << 20)) b

# ---- timer, pool, the rest

# hold FILE [OPTION]: the connection stays open until close_held.
hold() {
	rm -f "$work/held.in"
	mkfifo "$work/held.in"
	exec 5<>"$work/held.in"
	timeout $patience socat -t $patience - "TCP4:$TARGET_abi${2-}" <"$work/held.in" >"$1" 5>&- &
	held_pid=$!
}
close_held() {
	exec 5>&-
	wait $held_pid
}

hold "$work/answer"
echo timer >&5
check 'ss_set_timer(), timer()' wait_for $patience grep -qx 'timer in time' "$work/answer"
echo log >&5
check 'ss_log() escapes' wait_for $patience logged 'abi: connection [0-9]+: logged 42\\x0asecond line$'
echo want >&5
check 'ss_want_writable(), writable()' wait_for $patience grep -qx writable "$work/answer"
printf '%s\n' discard ignored >&5
close_held
is 'ss_discard(), and eof() still comes' "$(tail -n 2 "$work/answer")" 'writable
eof '

answers 'ss_offload(), done(), in the order of the requests' 'done OFFLOAD ONE
done OFFLOAD TWO
3 after' 'offload one' 'offload two' after
unlike 'one job at a time, and no ss_ready() meanwhile' "$DAEMON_LOG" 'one job was not taken, or a second was'
hold "$work/answer" ,linger=0 # its end is a reset
echo offload slowly >&5
check 'ss_log() from the pool' wait_for $patience logged 'work has begun$'
# In this order: at the end of its input it would send a FIN.
kill $held_pid
wait $held_pid 2>/dev/null
exec 5>&-
check 'a job outlives its connection' wait_for $patience logged '^module-1: done without a connection$'
hold "$work/answer"
printf '%s\n' one close two >&5
check 'ss_close(), and close() with the reason' wait_for $patience logged '^module-1: close 1$'
close_held
is 'of which nothing is seen' "$(cat "$work/answer")" 'open
1 one'
check 'every connection is closed' wait_for $patience has_fds "$DAEMON_PID" "$start_fds"
unlike 'nothing was queued in vain' "$DAEMON_LOG" 'nothing was queued'
stop_and_check 'it ends with 0'
is 'worker_stop(), in each worker' "$(grep -c '^module-1: worker_stop$' "$DAEMON_LOG")" 2
is 'stop(), with its state' "$(grep -c '^module-1: stop$' "$DAEMON_LOG")" 1
is 'close() for each open()' "$(grep -c '^module-1: close' "$DAEMON_LOG")" \
	"$(sed -n 's/.*stopped after \([0-9]*\) connections/\1/p' "$DAEMON_LOG")"

# ---- the keys from the file

check 'it starts with each key in the file' start 'flag = false; number = -5; pause = 0.25; word = "two";
	large = 5000000000L; string = "other"; missing = "there";' || exit
answers 'ss_settings(): what the file says' '0 -5 250 2 5000000000 other there' settings
stop_and_check 'it ends with 0'
