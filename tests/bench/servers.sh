# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The servers of the benchmark: what is there, how each is started and stopped. Sourced by bench.sh,
# which sets $build, $tmp and $service, the service that the servers give.

# shellcheck disable=SC2154 # $build, $tmp, $service, $here

declare -A pid=() port=([raw]=7001 [again]=7002 [simple]=7003 [libevent]=7004 [libuv]=7005
	[xinetd]=7006 [accept]=7007 [forward]=7008 [proxyd]=7009 [haproxy]=7010 [nginx]=7011)
declare -A title=([raw]=raw-epoll [again]='raw-epoll again' [simple]=simple-server
	[libevent]='libevent bufferevent' [libuv]=libuv [xinetd]=xinetd
	[accept]='Accept=yes, cat' [forward]=simple-server [proxyd]=systemd-socket-proxyd
	[haproxy]=HAProxy [nginx]='nginx stream')
declare -A program=([raw]="$build/tests/bench/raw-epoll" [again]="$build/tests/bench/raw-epoll"
	[simple]="$build/src/simple-server" [libevent]="$build/tests/bench/peer-libevent"
	[libuv]="$build/tests/bench/peer-libuv" [xinetd]=xinetd [accept]=cat
	[forward]="$build/src/simple-server" [proxyd]=/lib/systemd/systemd-socket-proxyd
	[haproxy]=haproxy [nginx]=nginx)

installed() # SERVER
{
	# Debian has xinetd where only root's PATH looks.
	PATH=$PATH:/usr/sbin command -v "${program[$1]}" >/dev/null
}

# A process for each connection.
forks() # SERVER
{
	[ "$1" = xinetd ] || [ "$1" = accept ]
}

# cat gives no service but echo.
can() # SERVER
{
	[ "$1" != accept ] || [ "$service" = echo ]
}

version() # SERVER
{
	case $1 in
	simple) "${program[$1]}" --version | head -n 1 ;;
	libevent | libuv) "${program[$1]}" --version ;;
	xinetd) PATH=$PATH:/usr/sbin xinetd -version 2>&1 | sed -n '1s/[^0-9]*\([^ ]*\).*/xinetd \1/p' ;;
	accept) systemd-socket-activate --version | head -n 1 | sed 's/ (.*//' ;;
	proxyd) "${program[proxyd]}" --version | head -n 1 | sed 's/ (.*//' ;;
	haproxy) PATH=$PATH:/usr/sbin haproxy -v | sed -n '1s/^HAProxy version \([^ ]*\).*/haproxy \1/p' ;;
	nginx) PATH=$PATH:/usr/sbin nginx -v 2>&1 | sed 's/.*: //' ;;
	esac
}

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

# launch SERVER CPUS [WRAPPER...]: becomes the server. systemd-socket-activate execs what it starts, so
# that the process number stays; with --accept it forks.
launch()
{
	local kind=$1 cpus=$2 command=("${program[$1]}" "$service") address="127.0.0.1:${port[$1]}"
	local flags='' activate=(systemd-socket-activate -l "$address")
	shift 2
	case $kind in
	simple) command=("${program[simple]}" --config "$tmp/conf" --allow-root) ;;
	forward)
		proxy_config forward >"$tmp/forward.conf"
		command=("${program[forward]}" --config "$tmp/forward.conf" --allow-root)
		;;
	proxyd)
		trap '' PIPE # as systemd has it for its services, or a reset ends it
		command=("${program[proxyd]}" --connections-max=100000 "127.0.0.1:${port[raw]}")
		;;
	haproxy | nginx)
		proxy_config "$kind" >"$tmp/$kind.conf"
		[ "$kind" = haproxy ] && command=(haproxy -f) || command=(nginx -e stderr -c)
		PATH=$PATH:/usr/sbin exec taskset -c "$cpus" "$@" "${command[@]}" "$tmp/$kind.conf"
		;;
	xinetd)
		# It writes chargen line by line: there Nagle's algorithm helps it.
		[ "$service" = chargen ] || flags=NODELAY
		sed "s/@service@/$service/; s/@port@/${port[xinetd]}/; s/@flags@/$flags/" \
			"$here/xinetd.conf.in" >"$tmp/xinetd.conf"
		PATH=$PATH:/usr/sbin exec taskset -c "$cpus" "$@" xinetd -dontfork \
			-f "$tmp/xinetd.conf" -pidfile "$tmp/xinetd-pid"
		;;
	accept) exec taskset -c "$cpus" "${activate[@]}" --accept --inetd -- "$@" cat ;;
	esac
	exec taskset -c "$cpus" "${activate[@]}" --fdname="$service" -- "$@" "${command[@]}"
}

# start_server SERVER WORKERS CPUS [WRAPPER...]: returns when it has served a first request.
start_server()
{
	local kind=$1
	write_config "$2"
	(launch "$kind" "${@:3}") >"$tmp/$kind.log" 2>&1 &
	pid[$kind]=$!
	echo $! >"$tmp/$kind.pid"
	if ! load_first "$kind" >"$tmp/first" 2>&1; then
		stop_server "$kind"
		complain "${title[$kind]} does not serve $service:" \
			"$(tail -qn 1 "$tmp/$kind.log" "$tmp/first" | paste -sd' ')"
		return 1
	fi
	settle "$kind"
}

stop_server()
{
	kill "${pid[$1]}" 2>/dev/null
	wait "${pid[$1]}" 2>/dev/null
	rm -f "$tmp/$1.pid"
}

# Some servers are started in a subshell: the files name those that an interrupt left behind.
stop_all()
{
	local file
	for file in "$tmp"/*.pid; do
		[ -e "$file" ] && kill "$(<"$file")" 2>/dev/null
	done
}

# The process numbers of a server's children.
children()
{
	cat "/proc/${pid[$1]}"/task/*/children 2>/dev/null
}

descriptors() # SERVER: how many it has
{
	find "/proc/${pid[$1]}/fd" -mindepth 1 2>/dev/null | wc -l
}

# Until the server has no connection left, as the number of its descriptors and children shows.
settle()
{
	local before=-1 now=0 i
	for ((i = 0; i < 100; i++)); do
		[ -z "$(children "$1")" ] && [ "$before" = "$now" ] && break
		sleep 0.1
		before=$now
		now=$(descriptors "$1")
	done
}
