# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# For the tests of limits; beside lib.sh, which they source first: a good client that runs all the
# while (abuse-client good), bad ones, and what has to hold once they are gone.
# shellcheck disable=SC2154 # DAEMON_PID: set by start_server

abuser=$top_builddir/tests/abuse-client
good_pid=
bad_pid=

# A sanitizer makes the server slow: then only errors count.
p99=100
[ "$sanitized" = 0 ] || p99=0

# What lib.sh does at the end, and these.
abuse_cleanup() {
	abuse_status=$?
	[ -z "$good_pid" ] || kill "$good_pid" 2>/dev/null
	[ -z "$bad_pid" ] || kill "$bad_pid" 2>/dev/null
	(exit "$abuse_status")
	cleanup
}
trap abuse_cleanup EXIT

# For how many ms the server's threads could have run and had no CPU: that is the machine's doing.
starved() {
	cat "/proc/$1/task/"*/schedstat | awk '{ n += $2 } END { printf "%d", n / 1000000 }'
}

# good_start TARGET [OPTION...], from 127.0.1.200 unless TARGET is another family.
good_start() {
	good_target=$1
	good_starved=$(starved "$DAEMON_PID")
	shift
	case $good_target in 127.*) set -- --from 127.0.1.200 "$@" ;; esac
	rm -f "$work/good.in" "$work/good.up"
	mkfifo "$work/good.in" "$work/good.up" || exit 99
	exec 5<>"$work/good.in"
	"$abuser" --p99 "$p99" "$@" "$good_target" good \
		<"$work/good.in" 5<&- >"$work/good.up" 2>"$work/good.err" &
	good_pid=$!
	exec 4<"$work/good.up"
	read -r good_says <&4 || good_says=
}

# good_end NAME: no error, and its answers came in time.
good_end() {
	echo >&5
	exec 5>&-
	read -r good_says <&4 || good_says=$(cat "$work/good.err")
	exec 4<&-
	wait "$good_pid"
	good_status=$?
	good_starved=$(($(starved "$DAEMON_PID") - good_starved))
	good_p99=${good_says#* p99 }
	good_p99=${good_p99%%[. ]*}
	if [ "$good_status" = 0 ]; then
		ok "$1: the good client ($good_says)"
	elif [ "$good_status" = 4 ] && [ "$good_starved" -ge "$good_p99" ]; then
		ok "$1: the good client has no error ($good_says; the server had no CPU for $good_starved ms)"
	else
		not_ok "$1: the good client" "$good_says" "the server had no CPU for $good_starved ms"
	fi
	good_pid=
}

# bad_start [OPTION...] TARGET bad [N]: returns when they are open.
bad_start() {
	rm -f "$work/bad.in" "$work/bad.up"
	mkfifo "$work/bad.in" "$work/bad.up" || exit 99
	exec 3<>"$work/bad.in"
	"$abuser" "$@" <"$work/bad.in" 3<&- >"$work/bad.up" 2>"$work/bad.err" &
	bad_pid=$!
	exec 6<"$work/bad.up"
	read -r bad_says <&6 || diag "the bad client:" "$(cat "$work/bad.err")"
}

# bad_end: waits for their end, which it asks for where they wait for it; sets done fin reset failed open
# in out min_ms max_ms.
bad_end() {
	echo >&3
	exec 3>&-
	bad_report
}

# bad_wait: the same, but they end by themselves (or the server ends them).
bad_wait() {
	bad_report
	exec 3>&-
}

bad_report() {
	# shellcheck disable=SC2034 # for those who source this
	done=0 fin=0 reset=0 failed=0 open=0 in=0 out=0 min_ms=0 max_ms=0
	read -r bad_says <&6 || bad_says=failed=all
	exec 6<&-
	wait "$bad_pid" || diag "the bad client:" "$bad_says" "$(cat "$work/bad.err")"
	bad_pid=
	for bad_word in $bad_says; do
		case $bad_word in
		done=* | fin=* | reset=* | failed=* | open=* | in=* | out=* | min_ms=* | max_ms=*)
			eval "$bad_word"
			;;
		esac
	done
	# shellcheck disable=SC2034 # for those who source this
	ended=$((fin + reset))
}

# bad [OPTION...] TARGET bad [N]: from the begin to the end.
bad() {
	bad_start "$@"
	bad_wait
}

# at_least NAME GOT MINIMUM
at_least() {
	if [ "$2" -ge "$3" ]; then ok "$1 ($2)"; else not_ok "$1" "got $2, at least $3; $bad_says"; fi
}

lines() {
	wc -l <"$DAEMON_LOG"
}

# A quarter of a second in which it does next to nothing; within a second.
quiet() {
	for _ in 1 2 3 4; do
		quiet_before=$(ticks "$1")
		sleep 0.25 # this is the measurement
		[ $(($(ticks "$1") - quiet_before)) -gt 2 ] || return 0
	done
	echo "never quiet: $(($(ticks "$1") - quiet_before)) ticks in the last quarter of a second"
	return 1
}

# case_begin TARGET
case_begin() {
	case_lines=$(lines)
	good_start "$1"
}

# case_end NAME LINES: what has to hold in each case. Of the memory it is known what it was after the
# first connections; malloc() has an arena for each thread, and keeps some.
case_end() {
	good_end "$1"
	case_wrong=
	wait_for 5 has_fds "$DAEMON_PID" "$start_fds" ||
		case_wrong="$case_wrong $(fds "$DAEMON_PID") descriptors, not $start_fds;"
	case_lines=$(($(lines) - case_lines))
	[ "$case_lines" -le "$2" ] || case_wrong="$case_wrong $case_lines lines in the log;"
	if [ "$sanitized" = 0 ]; then
		case_quiet=$(quiet "$DAEMON_PID") || case_wrong="$case_wrong $case_quiet;"
		case_kib=$(($(rss_kib "$DAEMON_PID") - start_kib))
		[ "$case_kib" -le 6144 ] || case_wrong="$case_wrong $case_kib KiB more memory;"
	fi
	if [ -z "$case_wrong" ]; then ok "$1: afterwards all is as before"; else
		not_ok "$1: afterwards all is as before" "$case_wrong"
	fi
}

# Of the server at rest, after some connections.
case_baseline() {
	start_fds=$(fds "$DAEMON_PID")
	bad --send 65536 --close "$1" bad 50 </dev/null
	wait_for 5 has_fds "$DAEMON_PID" "$start_fds"
	start_kib=$(rss_kib "$DAEMON_PID")
}
