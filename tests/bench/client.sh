# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the client costs: simple-client beside echo-load, the least generator that checks each byte.
# Both drive raw-epoll, with one thread. Sourced by bench.sh.

# shellcheck disable=SC2034 # $service and $generator are for those that are called
# shellcheck disable=SC2154 # $build, $tmp, $runs, $server_cpu

# client_instructions GENERATOR REQUESTS
client_instructions()
{
	callgrind under_callgrind "$@"
}

under_callgrind()
{
	local around=("${callgrind[@]}")
	"$1" raw echo 64 64 count "$2" >/dev/null
}

# sample_clients FILE: lines "RUN GENERATOR COST RATE"
sample_clients()
{
	local i figures generator order
	for ((i = 0; i < runs; i++)); do
		order=(echo_load simple_client)
		((i % 2)) && order=(simple_client echo_load)
		for generator in "${order[@]}"; do
			figures=$(load_requests raw echo 64 64) && echo "$i $generator $figures"
		done
	done >"$1"
}

section_client()
{
	local service='echo' kind value
	if [ ! -x "$build/src/simple-client" ]; then
		note "simple-client as a client: it is not built"
		return
	fi
	result column clients echo_load 'echo-load'
	result column clients simple_client 'simple-client'
	row client-rate 'client, 64 B echo, 64 connections, requests per second' 0 ratio '>=' 0.95 clients
	row client-instructions 'client, user-space instructions per request' 0 value '<=' '' clients
	start_server raw 1 "$server_cpu" || return
	sample_clients "$tmp/clients"
	summary client-rate 2 "$tmp/clients" echo_load
	if have valgrind; then
		for kind in echo_load simple_client; do
			value=$(per_request 0 client_instructions "$kind") &&
				cell client-instructions "$kind" "$value"
		done
	fi
	stop_server raw
}
