# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The handler forward beside systemd-socket-proxyd, HAProxy and nginx stream: what a proxy costs in
# front of raw-epoll, and how many connections it can hold. The proxy has the server's CPU; the back
# end and the client share the other. Sourced by bench.sh.

# shellcheck disable=SC2034 # many variables are for those that are called
# shellcheck disable=SC2154 # $build, $tmp, $here, $service, $server_cpu, $client_cpu

# The configuration of a proxy that needs a file.
proxy_config() # SERVER
{
	case $1 in
	forward) cat <<-END ;;
		workers = 1;
		sockets = ( {
			name = "$service";
			handler = "forward";
			settings: { target = "127.0.0.1:${port[raw]}"; };
			log: { connections = false; };
		} );
	END
	haproxy) cat <<-END ;;
		global
			nbthread 1
		defaults
			mode tcp
			timeout connect 5s
			timeout client 60s
			timeout server 60s
		listen proxy
			bind 127.0.0.1:${port[haproxy]}
			server raw 127.0.0.1:${port[raw]}
	END
	# One process, as the others are, with all that its worker does.
	nginx) cat <<-END ;;
		daemon off;
		master_process off;
		pid $tmp/nginx-pid;
		load_module modules/ngx_stream_module.so;
		events { worker_connections 20000; }
		stream {
			server {
				listen 127.0.0.1:${port[nginx]};
				proxy_pass 127.0.0.1:${port[raw]};
			}
		}
	END
	esac
}

# against FILE COLUMN WHAT RELATION PEER=GOAL...: simple-server's figure as a part of a peer's
against()
{
	local file=$1 column=$2 goal peer ratio spread
	for goal in "${@:5}"; do
		peer=${goal%=*}
		read -r ratio spread <<<"$(awk -v column="$column" -v base="$peer" \
			-f "$here/paired.awk" "$file" | awk '$1 == "forward" { print $3, $4 }')"
		[ -n "$ratio" ] || continue
		result row proxy-goals "${file##*/}-$column-$peer" "$3: ${title[$peer]}" 2 value "$4" \
			"${goal#*=}"
		cell "${file##*/}-$column-$peer" forward "$ratio" '' "$spread"
	done
}

# proxied ROW WHAT UNIT MODE CONNECTIONS
proxied()
{
	local file=$tmp/$1
	row "$1-cpu" "$2, CPU us per $3" 2 ratio '<=' ''
	row "$1-rate" "$2, ${3}s per second" 0 ratio '>=' ''
	row "$1-p50" "$2, median latency, us" 0 ratio '<=' ''
	row "$1-p99" "$2, 99 % within, us" 0 ratio '<=' ''
	sample "$file" load_latency "$4" "$5" 64
	summary "$1-cpu" 1 "$file"
	summary "$1-rate" 2 "$file"
	summary "$1-p50" 3 "$file"
	summary "$1-p99" 4 "$file"
}

# proxied_bytes WHAT SERVICE CONNECTIONS
proxied_bytes()
{
	local service=$2 id="proxy-$2-$3" what="$1, $3 conn."
	row "$id-cpu" "$what, CPU ms per GB" 1 ratio '<=' ''
	row "$id-rate" "$what, GB per second" 2 ratio '>=' ''
	start_server raw 1 "$client_cpu" || return
	sample "$tmp/$id" load_bytes "$3"
	stop_server raw
	summary "$id-cpu" 1 "$tmp/$id"
	summary "$id-rate" 2 "$tmp/$id"
	against "$tmp/$id" 1 "$what, CPU per GB" '<=' proxyd=1.05 haproxy=0.38 nginx=0.38
}

# reached SERVER FILES: how many connections come through a proxy that may have so many files. The
# client tries more: it waits for an echo that does not come, or is thrown out.
reached()
{
	local before now most=0 same=0
	start_server "$1" 1 "$server_cpu" prlimit --nofile="$2" -- || return
	before=$(descriptors raw)
	coproc HOLD {
		taskset -c "$client_cpu" "$build/tests/bench/echo-load" -c $(($2 / 2)) idle "${port[$1]}"
	} 2>/dev/null
	local hold=$HOLD_PID
	while [ "$same" -lt 10 ]; do
		sleep 0.1
		now=$(descriptors raw)
		same=$((now > most ? 0 : same + 1)) most=$((now > most ? now : most))
	done
	kill "$hold" 2>/dev/null
	wait "$hold" 2>/dev/null
	stop_server "$1"
	settle raw
	echo $((most - before))
}

# Private bytes per pair, from a tenth to all: what was written once for the first ones is not of
# those that come.
pair_memory() # SERVER CONNECTIONS
{
	local few many
	start_server "$1" 1 "$server_cpu" || return
	few=$(load_held "$1" $(($2 / 10)) smaps Private_Dirty "$1")
	many=$(load_held "$1" "$2" smaps Private_Dirty "$1")
	stop_server "$1"
	[ -n "$few" ] && [ -n "$many" ] && awk -v bytes=$((many - few)) -v n=$(($2 - $2 / 10)) \
		'BEGIN { printf "%.0f", bytes / n }'
}

# What is counted over connections that are held.
proxied_held()
{
	local files=$(($(ulimit -n) < 20000 ? $(ulimit -n) : 20000)) many kind value
	many=$((files / 7))
	row proxy-held "connections through a proxy that may have $files files" 0 ratio '>=' ''
	row proxy-memory "private bytes per idle pair, $many held" 0 value '<=' 256
	for kind in $servers; do
		value=$(reached "$kind" "$files") && echo "0 $kind $value"
	done >"$tmp/proxy-held"
	summary proxy-held 1 "$tmp/proxy-held"
	against "$tmp/proxy-held" 1 'connections with the same files' '>=' proxyd=2.9
	for kind in $servers; do
		value=$(pair_memory "$kind" "$many") && cell proxy-memory "$kind" "$value"
	done
}

proxied_echoes()
{
	proxied proxy-echo '64 B through a proxy, 64 connections' 'round trip' echo 64
	against "$tmp/proxy-echo" 1 'CPU per round trip, 64 connections' '<=' \
		proxyd=0.32 haproxy=0.98 nginx=0.98
	against "$tmp/proxy-echo" 3 'median latency, 64 connections' '<=' proxyd=0.33
	proxied proxy-echo-1 '64 B through a proxy, 1 connection' 'round trip' echo 1
}

proxied_churn()
{
	proxied proxy-churn 'connect, echo, close through a proxy, 16 at a time' connection churn 16
	against "$tmp/proxy-churn" 2 'connections per second' '>=' proxyd=1.9
}

proxied_exactly()
{
	if have strace; then
		exact proxy-calls 'system calls per round trip (strace)' calls_strace 1 2 6.00
		exact proxy-calls 'system calls per round trip (strace)' calls_strace 64 2 4.05
		counted=churn exact proxy-calls-churn 'system calls per connection (strace)' \
			calls_strace 16 2
	fi
	if have valgrind; then
		exact proxy-instructions 'user-space instructions per round trip' instructions 1 0
		exact proxy-instructions 'user-space instructions per round trip' instructions 64 0
	fi
}

section_proxy()
{
	[ "$candidate" = simple ] || return
	local table=proxies servers='forward haproxy nginx' base=proxyd candidate=forward
	# It counts children and has the latency of all echoes.
	local generator=echo_load service='echo' n
	# All connections to the back end come from one address: without this, looking for a port that
	# is not in TIME_WAIT would be a fifth of what is measured.
	echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets
	start_server raw 1 "$client_cpu" || return
	choose_servers
	proxied_echoes
	proxied_churn
	proxied_exactly
	proxied_held
	stop_server raw
	result column proxy-goals forward simple-server
	for n in 1 64; do
		proxied_bytes 'upload through a proxy' discard "$n"
		proxied_bytes 'download through a proxy' chargen "$n"
	done
}
