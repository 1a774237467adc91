# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The load of the benchmark. All that knows the programs that make it is here. Sourced by bench.sh,
# which sets $build, $tmp, $service, $seconds and $client_cpu.

# shellcheck disable=SC2154 # those

around=() # what goes before the program that makes the load

# field NAME LINE: the value of NAME=VALUE
field()
{
	local rest=${2##*"$1="}
	echo "${rest%% *}"
}

# What drives an echo service: echo_load or simple_client SERVER echo|churn CONNECTIONS SIZE
# for SECONDS|count REQUESTS. Each prints "requests=N seconds=S cpu_ns=C", C of the server.
generator=echo_load
[ ! -x "$build/src/simple-client" ] || generator=simple_client

echo_load()
{
	local until=-t
	[ "$5" = for ] || until=-n
	taskset -c "$client_cpu" "${around[@]}" "$build/tests/bench/echo-load" -p "${pid[$1]}" \
		-c "$3" -s "$4" "$until" "$6" "$2" "${port[$1]}"
}

simple_client()
{
	local until=(--duration "$6" --warmup 0.1) sources=()
	[ "$5" = for ] || until=(--count "$6")
	# A closed connection keeps its port for a minute.
	[ "$2" != churn ] || sources=(--source 127.0.1.1-127.0.1.64)
	taskset -c "$client_cpu" "${around[@]}" "$build/src/simple-client" --json --quiet --timeout 60 \
		--server-pid "${pid[$1]}" --mode "$2" --connections "$3" --size "$4" \
		"${until[@]}" "${sources[@]}" "127.0.0.1:${port[$1]}" >"$tmp/json" || return
	awk '{ gsub(/[",:]/, " ") }
		$1 == "total" { total = 1 }
		total && $1 == "}" { total = 0 }
		total && $1 == "requests" { requests = $2 }
		total && $1 == "window_ns" { seconds = $2 / 1e9 }
		$1 == "server_cpu_ns" { cpu = $2 }
		END { printf "requests=%s seconds=%.6f cpu_ns=%s\n", requests, seconds, cpu }' "$tmp/json"
}

# stream_load SERVER ARGUMENTS...: in the direction of $service
stream_load()
{
	local direction=send
	[ "$service" != chargen ] || direction=receive
	taskset -c "$client_cpu" "${around[@]}" "$build/tests/bench/stream-load" "${@:2}" \
		"$direction" "${port[$1]}"
}

# A first request, which may have to wait for the server to start.
load_first() # SERVER
{
	if [ "$service" = echo ]; then
		echo_load "$1" echo 1 64 count 1
	else
		stream_load "$1" -t 0
	fi
}

counted='echo' # or churn

# A number of echoes, or of connections with one, and nothing measured.
load_count() # SERVER CONNECTIONS REQUESTS
{
	"$generator" "$1" "$counted" "$2" 64 count "$3" >/dev/null
}

# One measured window: "CPU-microseconds-per-request requests-per-second"
load_requests() # SERVER echo|churn CONNECTIONS SIZE
{
	local line generator=$generator
	# simple-client measures one process, echo-load its children too.
	! forks "$1" || generator=echo_load
	line=$("$generator" "$@" for "$seconds") || return
	awk -v n="$(field requests "$line")" -v s="$(field seconds "$line")" \
		-v c="$(field cpu_ns "$line")" \
		'BEGIN { if (!n) exit 1; print c / n / 1000, n / s }'
}

# The same of echo-load, and of all echoes "... MEDIAN-us 99-PER-CENT-us"
load_latency() # SERVER echo|churn CONNECTIONS SIZE
{
	local line
	line=$(echo_load "$@" for "$seconds") || return
	awk -v n="$(field requests "$line")" -v s="$(field seconds "$line")" \
		-v c="$(field cpu_ns "$line")" -v p50="$(field p50_us "$line")" \
		-v p99="$(field p99_us "$line")" \
		'BEGIN { if (!n) exit 1; print c / n / 1000, n / s, p50, p99 }'
}

# CPU and rate of a one-way service: "CPU-milliseconds-per-GB GB-per-second"
load_bytes() # SERVER CONNECTIONS
{
	local line
	line=$(stream_load "$1" -t "$seconds" -p "${pid[$1]}" -c "$2") || return
	awk -v n="$(field bytes "$line")" -v s="$(field seconds "$line")" \
		-v c="$(field cpu_ns "$line")" \
		'BEGIN { if (!n) exit 1; print c / n * 1000, n / s / 1e9 }'
}

# load_held SERVER CONNECTIONS COMMAND...: the output of COMMAND while they are held, after one echo
# over each
load_held()
{
	local ready
	coproc HOLD {
		taskset -c "$client_cpu" "$build/tests/bench/echo-load" -c "$2" idle "${port[$1]}"
	}
	# shellcheck disable=SC2153 # coproc sets HOLD and HOLD_PID
	local hold=$HOLD_PID to=${HOLD[1]}
	read -r ready <&"${HOLD[0]}"
	[ "$ready" = ready ] && "${@:3}"
	echo >&"$to"
	wait "$hold"
}
