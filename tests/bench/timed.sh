# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What is measured in time: echo, churn, discard, chargen. All servers of a section are up; the
# client visits them in turn, in an order that changes with each run. Sourced by bench.sh.

# shellcheck disable=SC2034 # $service is for those that are called
# shellcheck disable=SC2154 # $here, $tmp, $runs, $server_cpu, and $servers, those to measure

# sample FILE LOAD ARGUMENTS...: lines "RUN SERVER COST RATE"
sample()
{
	local file=$1 measure=$2 up=() n i j kind figures
	shift 2
	for kind in $servers; do
		can "$kind" && start_server "$kind" 1 "$server_cpu" && up+=("$kind")
	done
	n=${#up[@]}
	for ((i = 0; i < runs; i++)); do
		for ((j = 0; j < n; j++)); do
			kind=${up[(i + (i % 2 ? n - j : j)) % n]}
			# Of one that has ended on the way there are fewer figures.
			kill -0 "${pid[$kind]}" 2>/dev/null || continue
			figures=$("$measure" "$kind" "$@") && echo "$i $kind $figures"
			# The processes of the last visit end on the CPU of the next server.
			! forks "$kind" || settle "$kind"
		done
	done >"$file"
	for kind in "${up[@]}"; do
		stop_server "$kind"
	done
}

# summary ROW COLUMN FILE [BASE]: the cells of a row
summary()
{
	awk -v column="$2" -v base="${4:-$base}" -f "$here/paired.awk" "$3" | while read -r kind figures; do
		# shellcheck disable=SC2086 # a list
		cell "$1" "$kind" $figures
	done
}

# requests ROW WHAT UNIT MODE CONNECTIONS SIZE [CPU-GOAL RATE-GOAL]
requests()
{
	local file=$tmp/$1 service='echo'
	row "$1-cpu" "$2, CPU us per $3" 2 ratio '<=' "${7-}"
	row "$1-rate" "$2, ${3}s per second" 0 ratio '>=' "${8-}"
	sample "$file" load_requests "$4" "$5" "$6"
	summary "$1-cpu" 1 "$file"
	summary "$1-rate" 2 "$file"
}

# one_way SERVICE CONNECTIONS [CPU-GOAL]
one_way()
{
	local service=$1 id="$1-$2" what="$1, $2 conn."
	row "$id-cpu" "$what, CPU ms per GB" 1 ratio '<=' "${3-}"
	row "$id-rate" "$what, GB per second" 2 ratio '>=' ''
	sample "$tmp/$id" load_bytes "$2"
	summary "$id-cpu" 1 "$tmp/$id"
	summary "$id-rate" 2 "$tmp/$id"
}

section_echo()
{
	requests echo '64 B echo, 64 connections' request echo 64 64 1.03 0.97
}

section_echo16k()
{
	requests echo16k '16 KiB echo, 64 connections' request echo 64 16384
}

section_churn()
{
	requests churn 'connect, echo, close, 16 at a time' connection churn 16 64 1.03 0.97
}

section_discard()
{
	one_way discard 1
	one_way discard 64 0.60
}

section_chargen()
{
	one_way chargen 1 0.72
	one_way chargen 64 0.72
}
