# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154 # for and of those who source this
#
# For the tests of the forwarder; beside lib.sh, which they source first: targets that keep to a script
# (forward-peer --listen), clients that do so too, and pairs of the two.

peer=$top_builddir/tests/forward-peer
started_pids=

# What lib.sh does at the end, and these.
forward_cleanup() {
	forward_status=$?
	# shellcheck disable=SC2086 # a list of words
	[ -z "$started_pids" ] || kill $started_pids 2>/dev/null
	(exit "$forward_status")
	cleanup
}
trap forward_cleanup EXIT

# started NAME COMMAND...: in the background; its process id is in $started, what it says in NAME.out.
started() {
	started_name=$1
	shift
	rm -f "$work/$started_name.out" # a later one of that name has not said anything yet
	"$@" </dev/null >"$work/$started_name.out" 2>"$work/$started_name.err" &
	started=$!
	started_pids="$started_pids $started"
}

# listens NAME [OPTION...] ADDRESS STEP...: a target; returns when it is ready, with its address as the
# forwarder has it in $at.
listens() {
	listens_name=$1
	shift
	started "$listens_name" "$peer" --listen "$@"
	ready "$listens_name"
}

# ready NAME: such a program has said that it is.
ready() {
	wait_for 10 grep -q '^ready' "$work/$1.out" || {
		diag "$1 does not listen:" "$(cat "$work/$1.err")"
		return 1
	}
	at=$(sed -n 's/^ready \(unix:\)\{0,1\}//p' "$work/$1.out")
}

# ends PID...: they do so; fails where one of them does.
ends() {
	ends_status=0
	for ends_pid; do
		wait "$ends_pid" || ends_status=$?
	done
	return "$ends_status"
}

# stops PID
stops() {
	kill "$1"
	wait "$1" 2>/dev/null
	return 0
}

# Options of the client of a pair.
client_options=

# both_keep_to CLIENT-ADDRESS TARGET-ADDRESS CLIENT-STEPS TARGET-STEPS: words.
both_keep_to() {
	# shellcheck disable=SC2086 # lists of words
	listens target --count 1 "$2" $4 || return
	target_pid=$started
	# shellcheck disable=SC2086
	timeout 30 "$peer" $client_options "$1" $3
	client_status=$?
	# Whoever was never reached waits for ever.
	[ "$client_status" = 0 ] || kill "$target_pid" 2>/dev/null
	wait "$target_pid"
	target_status=$?
	cat "$work/target.err"
	[ "$client_status $target_status" = '0 0' ]
}

# pair NAME CLIENT-ADDRESS TARGET-ADDRESS CLIENT-STEPS TARGET-STEPS
pair() {
	pair_name=$1
	shift
	check "$pair_name" both_keep_to "$@"
}

# How many descriptors of a kind it has: socket, pipe.
descriptors() {
	find "/proc/$1/fd" -lname "$2:*" 2>/dev/null | wc -l
}

has_sockets() {
	[ "$(descriptors "$1" socket)" = "$2" ]
}

milliseconds() {
	echo $(($(date +%s%N) / 1000000))
}
