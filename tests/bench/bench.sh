#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench.sh - simple-server beside the least server that can do the same, on this machine
#
# usage: bench.sh [-A] [-r RUNS] [-t SECONDS] [-o SECTIONS] SIMPLE_SERVER RAW_EPOLL ECHO_LOAD STREAM_LOAD
#
#   -A  simple-server's place is taken by a second raw-epoll: what is printed then is the noise
#   -r  interleaved runs (15), -t length of each (0.7)
#   -o  only these of: echo churn discard chargen calls instructions memory balance
#
# Prints a Markdown table: what, raw-epoll, simple-server, the judged figure, the goal, ok or over.
# "over" is no failure: the exit status tells only whether all could be measured.
#
# How to read it:
# - Everything runs in a network namespace of its own, with nothing but lo and with reno (bbr
#   paces). The servers have CPU 0, the client has CPU 1 (SERVER_CPU, CLIENT_CPU).
# - Both servers stay up; the client visits them in turn, in an order that changes with each run. A
#   ratio is the median of the ratios within each run, which cancels drift: 15 runs are good to
#   2 % on a quiet machine. On a busy or shared one take more and shorter runs, and keep other
#   processes away: chrt -r 1 bench.sh -r 60 -t 0.15 ... Absolute times mean nothing elsewhere.
# - Not by chrt for discard and chargen: a real-time client that never sleeps keeps the kernel's own
#   network threads from their CPU, and all figures become those of the waiting.
# - CPU is the scheduler's run time of all threads of the server between both ends of the window;
#   the kernel's TCP work is in it. For discard and chargen it is counted per GB (10^9 bytes); the
#   baseline receives and sends blocks of 64 KiB.
# - System calls and instructions are differences between a long and a short series of requests,
#   which cancel start and set-up; they are exact and repeatable where the times are not. strace
#   and callgrind slow the server down, so at 64 connections a wake-up brings a nearly full
#   batch. The count by perf is at full speed.
# - Memory is what the process has written (Private_Dirty of smaps_rollup), with 10,000
#   connections against none, after one echo over each.

# shellcheck disable=SC2317 # many functions are called by the name in an argument

set -u
export LC_ALL=C

runs=15 seconds=0.7 candidate=simple
sections='echo churn discard chargen calls instructions memory balance'
service='echo' # that the servers serve

die()
{
	echo "bench.sh: $*" >&2
	exit 1
}

# In a namespace of its own: by root directly, by others as root of a user namespace.
if [ -z "${BENCH_NAMESPACE-}" ]; then
	map=()
	[ "$(id -u)" = 0 ] || map=(--map-root-user)
	BENCH_NAMESPACE=1 exec unshare "${map[@]}" --net -- "$0" "$@"
fi

while getopts Ar:t:o: option; do
	case $option in
	A) candidate=again ;;
	r) runs=$OPTARG ;;
	t) seconds=$OPTARG ;;
	o) sections=$OPTARG ;;
	*) exit 64 ;;
	esac
done
shift $((OPTIND - 1))
[ $# = 4 ] || die "usage: bench.sh [options] SIMPLE_SERVER RAW_EPOLL ECHO_LOAD STREAM_LOAD"
simple_server=$1 raw_epoll=$2 echo_load=$3 stream_load=$4

server_cpu=${SERVER_CPU:-0} client_cpu=${CLIENT_CPU:-$(($(nproc --all) > 1))}
tmp=$(mktemp -d) || exit 1
declare -A pid=() port=([raw]=7001 [simple]=7002 [again]=7003)
missing=0

# Some servers are started in a subshell: the files name those that an interrupt left behind.
stop_all()
{
	local file
	for file in "$tmp"/*.pid; do
		[ -e "$file" ] && kill "$(<"$file")" 2>/dev/null
	done
	rm -rf "$tmp"
}
trap stop_all EXIT
trap 'exit 130' INT TERM

ip link set lo up || die "no ip(8): cannot set lo up"
echo reno >/proc/sys/net/ipv4/tcp_congestion_control 2>/dev/null
ulimit -n "$(ulimit -Hn)"

write_config() # WORKERS
{
	cat >"$tmp/conf" <<-END
		workers = $1;
		sockets = ( {
			name = "$service";
			handler = "$service";
			log: { connections = false; };
		} );
	END
}

# start_server KIND WORKERS CPUS [WRAPPER...]: systemd-socket-activate execs the server, so that its
# process number stays; it waits for the first connection.
start_server()
{
	local kind=$1 workers=$2 cpus=$3 server=("$raw_epoll" "$service")
	shift 3
	if [ "$kind" = simple ]; then
		write_config "$workers"
		server=("$simple_server" --config "$tmp/conf" --allow-root)
	fi
	taskset -c "$cpus" systemd-socket-activate -l "127.0.0.1:${port[$kind]}" --fdname="$service" -- \
		"$@" "${server[@]}" >"$tmp/$kind.log" 2>&1 &
	pid[$kind]=$!
	echo $! >"$tmp/$kind.pid"
	first "$kind" >"$tmp/first" || {
		cat "$tmp/$kind.log" >&2
		die "$kind does not serve $service"
	}
	settle "$kind"
}

stop_server()
{
	kill "${pid[$1]}" 2>/dev/null
	wait "${pid[$1]}" 2>/dev/null
	rm -f "$tmp/$1.pid"
}

# Until the server has no connection left, as the number of its descriptors shows.
settle()
{
	local before=-1 now=0 i
	for ((i = 0; i < 100 && before != now; i++)); do
		sleep 0.1
		before=$now
		now=$(find "/proc/${pid[$1]}/fd" -mindepth 1 2>/dev/null | wc -l)
	done
}

load() # KIND ARGUMENTS...
{
	taskset -c "$client_cpu" "$echo_load" "${@:2}" "${port[$1]}"
}

stream() # KIND ARGUMENTS...
{
	local mode=send
	[ "$service" != chargen ] || mode=receive
	taskset -c "$client_cpu" "$stream_load" "${@:2}" "$mode" "${port[$1]}"
}

first() # KIND
{
	if [ "$service" = echo ]; then
		load "$1" -n 1 echo
	else
		stream "$1" -t 0
	fi
}

wants()
{
	[[ " $sections " == *" $1 "* ]]
}

# field NAME LINE: the value of NAME=VALUE
field()
{
	local rest=${2##*"$1="}
	echo "${rest%% *}"
}

# row WHAT RAW SIMPLE JUDGED RELATION GOAL; an empty JUDGED could not be measured
row()
{
	local verdict
	if [ -z "$4" ]; then
		verdict='not measured'
		missing=1
	elif [ -z "$6" ]; then
		verdict=
	else
		verdict=$(awk -v m="$4" -v r="$5" -v g="$6" \
			'BEGIN { print (r == "<=" ? m <= g : m >= g) ? "ok" : "over" }')
	fi
	echo "| $1 | $2 | $3 | ${4:--} | $5 $6 | $verdict |"
}

# median COLUMN FILE; columns: 1, 2 of raw-epoll, 3, 4 of the other, then the ratios 3/1 and 4/2
median()
{
	awk -v c="$1" '{ $5 = $3 / $1; $6 = $4 / $2; print $c }' "$2" | sort -g |
		awk '{ v[NR] = $1 } END { n = int((NR + 1) / 2); print (v[n] + v[NR - n + 1]) / 2 }'
}

# One measured window: "CPU-microseconds-per-request requests-per-second"
window_requests() # KIND ARGUMENTS...
{
	local line
	line=$(load "$1" -t "$seconds" -p "${pid[$1]}" "${@:2}") || return
	awk -v n="$(field requests "$line")" -v s="$(field seconds "$line")" \
		-v c="$(field cpu_ns "$line")" 'BEGIN { if (n) print c / n / 1000, n / s }'
}

# The same of a one-way service: "CPU-milliseconds-per-GB GB-per-second"
window_bytes() # KIND ARGUMENTS...
{
	local line
	line=$(stream "$1" -t "$seconds" -p "${pid[$1]}" "${@:2}") || return
	awk -v n="$(field bytes "$line")" -v s="$(field seconds "$line")" \
		-v c="$(field cpu_ns "$line")" 'BEGIN { if (n) print c / n * 1000, n / s / 1e9 }'
}

# interleaved FILE WINDOW ARGUMENTS...: RUNS lines of the four columns
interleaved()
{
	local file=$1 window=$2 i kind
	local -A result=()
	shift 2
	start_server raw 1 "$server_cpu"
	start_server "$candidate" 1 "$server_cpu"
	: >"$file"
	for ((i = 0; i < runs; i++)); do
		local order=(raw "$candidate")
		((i % 2)) && order=("$candidate" raw)
		for kind in "${order[@]}"; do
			result[$kind]=$("$window" "$kind" "$@")
		done
		[ -n "${result[raw]}" ] && [ -n "${result[$candidate]}" ] &&
			echo "${result[raw]} ${result[$candidate]}" >>"$file"
	done
	stop_server raw
	stop_server "$candidate"
	[ -s "$file" ]
}

round() # DIGITS COLUMN FILE
{
	printf "%.$1f" "$(median "$2" "$3")"
}

# times WHAT UNIT MODE CONNECTIONS: the rows for processor time and for speed
times()
{
	local file=$tmp/$3
	interleaved "$file" window_requests -c "$4" "$3" || {
		row "$1, CPU" - - '' '<=' 1.03
		return
	}
	row "$1, CPU us per $2" "$(round 2 1 "$file")" "$(round 2 3 "$file")" "$(round 3 5 "$file")" '<=' 1.03
	row "$1, ${2}s per second" "$(round 0 2 "$file")" "$(round 0 4 "$file")" "$(round 3 6 "$file")" '>=' 0.97
}

# one_way SERVICE CONNECTIONS [GOAL]: the rows for processor time and for speed
one_way()
{
	local service=$1 file=$tmp/$1 goal=${3-} what="$1, $2 conn."
	interleaved "$file" window_bytes -c "$2" || {
		row "$what, CPU" - - '' "${goal:+<=}" "$goal"
		return
	}
	row "$what, CPU ms per GB" "$(round 1 1 "$file")" "$(round 1 3 "$file")" \
		"$(round 3 5 "$file")" "${goal:+<=}" "$goal"
	row "$what, GB per second" "$(round 2 2 "$file")" "$(round 2 4 "$file")" \
		"$(round 3 6 "$file")" '' ''
}

traced()
{
	local status
	for status in "/proc/${pid[$1]}"/task/*/status; do
		grep -q '^TracerPid:.0$' "$status" && return 1
	done
	return 0
}

calls_strace() # KIND CONNECTIONS REQUESTS: the number of system calls
{
	local strace i
	start_server "$1" 1 "$server_cpu"
	strace -f -c -o "$tmp/strace" -p "${pid[$1]}" 2>/dev/null &
	strace=$!
	for ((i = 0; i < 100; i++)); do
		traced "$1" && break
		sleep 0.05
	done
	load "$1" -c "$2" -n "$3" echo >/dev/null
	settle "$1"
	kill -INT "$strace"
	wait "$strace" 2>/dev/null
	stop_server "$1"
	awk '$NF == "total" { print $4 }' "$tmp/strace"
}

calls_perf()
{
	start_server "$1" 1 "$server_cpu"
	perf stat -x, -o "$tmp/perf" -e raw_syscalls:sys_enter -p "${pid[$1]}" -- \
		taskset -c "$client_cpu" "$echo_load" -c "$2" -n "$3" echo "${port[$1]}" \
		>/dev/null 2>&1
	stop_server "$1"
	awk -F, '$3 ~ /sys_enter/ && $1 > 0 { print $1 }' "$tmp/perf"
}

instructions() # KIND CONNECTIONS REQUESTS
{
	start_server "$1" 1 "$server_cpu" valgrind --tool=callgrind --callgrind-out-file=/dev/null
	load "$1" -c "$2" -n "$3" echo >/dev/null
	settle "$1"
	stop_server "$1"
	awk '/Collected/ { print $NF }' "$tmp/$1.log"
}

# per_request HOW KIND CONNECTIONS DIGITS: (long series - short series) / difference of requests
per_request()
{
	local short=$((64 * 20)) long=$((64 * 200)) first second
	first=$("$1" "$2" "$3" "$short")
	second=$("$1" "$2" "$3" "$long")
	[ -n "$first" ] && [ -n "$second" ] &&
		awk -v a="$first" -v b="$second" -v n=$((long - short)) -v d="$4" \
			'BEGIN { printf "%.*f", d, (b - a) / n }'
}

# exact WHAT HOW CONNECTIONS DIGITS GOAL
exact()
{
	local raw other
	raw=$(per_request "$2" raw "$3" "$4")
	other=$(per_request "$2" "$candidate" "$3" "$4")
	row "$1, $3 conn." "${raw:--}" "${other:--}" "$other" "${5:+<=}" "$5"
}

private_bytes()
{
	awk '/^Private_Dirty:/ { print $2 * 1024 }' "/proc/${pid[$1]}/smaps_rollup"
}

resident_bytes()
{
	awk '/^Rss:/ { print $2 * 1024 }' "/proc/${pid[$1]}/smaps_rollup"
}

# with_idle KIND CONNECTIONS COMMAND...: the output of COMMAND while they are held
with_idle()
{
	local ready
	coproc HOLD { load "$1" -c "$2" idle; }
	# shellcheck disable=SC2153 # coproc sets HOLD and HOLD_PID
	local hold=$HOLD_PID to=${HOLD[1]}
	read -r ready <&"${HOLD[0]}"
	[ "$ready" = ready ] && "${@:3}"
	echo >&"$to"
	wait "$hold"
}

memory() # KIND CONNECTIONS: private and resident bytes per connection
{
	local before after
	start_server "$1" 1 "$server_cpu"
	before=$(private_bytes "$1" && resident_bytes "$1")
	after=$(with_idle "$1" "$2" eval "private_bytes $1; resident_bytes $1")
	stop_server "$1"
	[ -n "$after" ] && printf '%s\n' "$before" "$after" | paste -sd' ' |
		awk -v n="$2" '{ print int(($3 - $1) / n), int(($4 - $2) / n) }'
}

# Entries of each epoll instance; one line for each, in the order of the descriptors.
epoll_entries()
{
	local fd
	for fd in "/proc/${pid[$1]}"/fd/*; do
		[ "$(readlink "$fd")" = 'anon_inode:[eventpoll]' ] &&
			grep -c '^tfd:' "${fd/\/fd\//\/fdinfo\/}"
	done
}

balance() # KIND WORKERS CONNECTIONS: the part of the busiest, in per cent
{
	start_server "$1" "$2" "0-$(($(nproc --all) - 1))"
	epoll_entries "$1" >"$tmp/before"
	with_idle "$1" "$3" epoll_entries "$1" >"$tmp/after"
	stop_server "$1"
	paste "$tmp/before" "$tmp/after" |
		awk '{ n = $2 - $1; sum += n; if (n > max) max = n }
			END { if (sum) printf "%.1f", 100 * max / sum }'
}

if [ "$(nproc --all)" -lt 2 ]; then
	echo "One CPU only: client and servers share it, times are of little worth."
	echo
fi
echo "| | raw-epoll | $candidate | judged | goal | |"
echo "|---|---|---|---|---|---|"
if wants echo; then
	times '64 B echo, 64 connections' request echo 64
fi
if wants churn; then
	times 'connect, echo, close, 16 at a time' connection churn 16
fi
if wants discard; then
	one_way discard 1
	one_way discard 64 0.60
fi
if wants chargen; then
	one_way chargen 1 0.72
	one_way chargen 64 0.72
fi
if wants calls; then
	exact 'system calls per request (strace)' calls_strace 1 2 3.00
	exact 'system calls per request (strace)' calls_strace 64 2 2.05
	if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then
		exact 'system calls per request (perf, full speed)' calls_perf 1 2 ''
		exact 'system calls per request (perf, full speed)' calls_perf 64 2 ''
	fi
fi
if wants instructions; then
	exact 'user-space instructions per request' instructions 1 0 150
	exact 'user-space instructions per request' instructions 64 0 110
fi
if wants memory; then
	held=$((($(ulimit -n) - 100) < 10000 ? $(ulimit -n) - 100 : 10000))
	read -r raw_private raw_resident <<<"$(memory raw "$held")"
	read -r private resident <<<"$(memory "$candidate" "$held")"
	row "private bytes per idle connection, $held held" "$raw_private" "${private:--}" \
		"$private" '<=' 192
	row "resident bytes per idle connection, $held held" "$raw_resident" "${resident:--}" \
		"$resident" '' ''
fi
if wants balance && [ "$candidate" = simple ]; then
	share=$(balance simple 4 512)
	row 'busiest of 4 workers, 512 connections, %' - "${share:--}" "$share" '<=' 27
fi
exit "$missing"
