# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What is counted: system calls and instructions for each request, as the difference between a long
# and a short series of requests, which cancels start and set-up. Sourced by bench.sh.

# shellcheck disable=SC2034 # $service is for those that are called
# shellcheck disable=SC2154 # $tmp, $server_cpu, $client_cpu, and $servers, those to measure

traced() # SERVER
{
	local status
	for status in "/proc/${pid[$1]}"/task/*/status; do
		grep -q '^TracerPid:.0$' "$status" && return 1
	done
	return 0
}

calls_strace() # SERVER CONNECTIONS REQUESTS: the number of system calls, of its children too
{
	local strace i
	start_server "$1" 1 "$server_cpu" || return
	strace -f -c -o "$tmp/strace" -p "${pid[$1]}" 2>"$tmp/strace.log" &
	strace=$!
	for ((i = 0; i < 100; i++)); do
		traced "$1" && break
		sleep 0.05
	done
	load_count "$1" "$2" "$3"
	settle "$1"
	kill -INT "$strace"
	wait "$strace" 2>/dev/null
	stop_server "$1"
	awk '$NF == "total" { print $4 }' "$tmp/strace"
}

calls_perf() # the same, without its children
{
	start_server "$1" 1 "$server_cpu" || return
	local around=(perf stat '-x,' -o "$tmp/perf" -e raw_syscalls:sys_enter -p "${pid[$1]}" --)
	load_count "$1" "$2" "$3" 2>"$tmp/perf.log"
	stop_server "$1"
	awk -F, '$3 ~ /sys_enter/ && $1 > 0 { print $1 }' "$tmp/perf"
}

# callgrind COMMAND...: COMMAND, which finds in $callgrind what goes before a program
callgrind()
{
	local callgrind=(valgrind --tool=callgrind --callgrind-out-file=/dev/null
		--log-file="$tmp/callgrind.%p")
	rm -f "$tmp"/callgrind.*
	"$@" || return
	awk '/Collected/ { sum += $NF } END { if (sum) printf "%.0f", sum }' "$tmp"/callgrind.*
}

serve_under_callgrind() # SERVER CONNECTIONS REQUESTS
{
	start_server "$1" 1 "$server_cpu" "${callgrind[@]}" || return
	load_count "$1" "$2" "$3"
	settle "$1"
	stop_server "$1"
}

instructions() # SERVER CONNECTIONS REQUESTS
{
	callgrind serve_under_callgrind "$@"
}

# per_request DIGITS HOW ARGUMENTS...: (long series - short series) / difference of requests
per_request()
{
	local short=$((64 * 20)) long=$((64 * 200)) first second
	first=$("${@:2}" "$short")
	second=$("${@:2}" "$long")
	[ -n "$first" ] && [ -n "$second" ] &&
		awk -v a="$first" -v b="$second" -v n=$((long - short)) -v d="$1" \
			'BEGIN { printf "%." d "f", (b - a) / n }'
}

# exact ROW WHAT HOW CONNECTIONS DIGITS [GOAL]
exact()
{
	local kind value id="$1-$4"
	row "$id" "$2, $4 conn." "$5" value '<=' "${6-}"
	for kind in $servers; do
		counts "$3" "$kind" "$4" && value=$(per_request "$5" "$3" "$kind" "$4") &&
			cell "$id" "$kind" "$value"
	done
}

# counts HOW SERVER CONNECTIONS: perf does not follow those that fork later; valgrind would have to
# start once for each of 64 connections.
counts()
{
	case $1-$2-$3 in
	calls_perf-xinetd-* | calls_perf-accept-* | instructions-accept-64) return 1 ;;
	esac
}

section_calls()
{
	local service='echo'
	if have strace; then
		exact strace 'system calls per request (strace)' calls_strace 1 2 3.00
		exact strace 'system calls per request (strace)' calls_strace 64 2 2.05
	fi
	if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then
		exact perf 'system calls per request (perf, full speed)' calls_perf 1 2
		exact perf 'system calls per request (perf, full speed)' calls_perf 64 2
	fi
}

section_instructions()
{
	local service='echo'
	have valgrind || return
	exact instructions 'user-space instructions per request' instructions 1 0 150
	exact instructions 'user-space instructions per request' instructions 64 0 110
}
