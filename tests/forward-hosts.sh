#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Several hosts behind HAProxy, and behind a forwarder, with the configurations of
# simple-server-forward(7): a host dies under load, and it costs its own connections and no others. The hosts
# are network namespaces, each with a server; the network between them is a bridge at the balancer.
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/forward-lib.sh
. "${top_srcdir:-.}/tests/forward-lib.sh"
[ "$(id -u)" = 0 ] || skip_all 'only root can make networks'
PATH=$PATH:/usr/sbin:/sbin
require ip ss timeout
# Its bounds of time are those of a server at full speed; tests/test-relay.c is the one for sanitizers.
[ "$sanitized" = 0 ] || skip_all 'too slow with a sanitizer'
page=$top_srcdir/man/simple-server-forward.7
load=$top_builddir/src/simple-client
prefix=simple-server-test-$$
balancer=192.0.2.10
connections=300

# ---- the network

hosts_cleanup() {
	hosts_status=$?
	# shellcheck disable=SC2086 # a list of words
	[ -z "$started_pids" ] || kill $started_pids 2>/dev/null
	started_pids=
	for n in 10 11 12 13 20; do
		ip netns delete "$prefix-$n" 2>/dev/null
	done
	(exit "$hosts_status")
	cleanup
}
trap hosts_cleanup EXIT

# at N COMMAND...: on the host 192.0.2.N.
at() {
	at_host=$1
	shift
	ip netns exec "$prefix-$at_host" "$@"
}

make_network() {
	ip netns add "$prefix-10" || return
	at 10 ip link set lo up
	at 10 ip link add lan type bridge && at 10 ip addr add $balancer/24 dev lan && at 10 ip link set lan up ||
		return
	for n in 11 12 13 20; do
		ip netns add "$prefix-$n" &&
			at 10 ip link add "to$n" type veth peer name eth0 netns "$prefix-$n" &&
			at 10 ip link set "to$n" master lan up &&
			at $n ip addr add 192.0.2.$n/24 dev eth0 && at $n ip link set eth0 up && at $n ip link set lo up ||
			return
	done
}
make_network 2>"$work/network.err" || skip_all "no network of our own can be had: $(head -n 1 "$work/network.err")"
plan 26

cable() {
	at 10 ip link set "to$1" "$2"
}

# As a machine that is off: nobody says anything for it.
silence() {
	cable "$1" down
}

# As a server that is gone from a machine that is there. It dies with play-systemd, which has its listening
# socket as well: nobody waits in the backlog of the dead.
crash() {
	eval "kill -KILL \"\$server$1\""
}

# ---- what runs on the hosts

# example NUMBER: a display of the page's section on several hosts.
example() {
	awk -v wanted="$1" '/^\.Ss Several hosts/ { section = 1 } /^\.Sh/ { section = 0 }
		section && /^\.Bd/ { n++; inside = 1; next } /^\.Ed/ { inside = 0 }
		inside && section && n == wanted' "$page"
}
# What a test may have of open files is less.
example 1 | sed 's/maxconn 20000/maxconn 2000/' >"$work/haproxy.cfg"
example 2 >"$work/host.conf"
{
	echo 'defaults: { log: { connections = false; }; };'
	printf 'sockets = ( { name = "service"; handler = "forward"; %s } );\n' "$(example 3)"
} >"$work/forward.conf"

# serves N CONFIGURATION: a server on port 7000 of that host, which is ready.
serves() {
	rm -f "$work/up$1"
	# shellcheck disable=SC2016,SC2086 # for the inner shell; a list of words
	started "server$1" env DAEMON_LOG="$work/server$1.log" NOTIFY_LOG="$work/server$1.notify" HOST="$1" \
		ip netns exec "$prefix-$1" "$play" --timeout 300 --tcp "service=192.0.2.$1:7000" \
		--run ': >"$WORK/up$HOST"; exec sleep 300' -- \
		"$server" --config "$work/$2" $allow_root
	eval "server$1=\$started"
	wait_for 20 test -e "$work/up$1" || cat "$work/server$1.err" "$work/server$1.log"
}

# How many connections it has, but for checks that come and go.
held() {
	at "$1" ss -Htn state established "sport = :7000" | wc -l
}

# Each of these hosts has at least so many.
hold() {
	hold_least=$1
	shift
	for n; do
		[ "$(held "$n")" -ge "$hold_least" ] || return
	done
}

one_client() {
	at 20 "$peer" $balancer:7000 say:hello hear:hello both:10000 fin eof
}

# Ten new ones a second.
new_clients() {
	while [ ! -e "$work/enough" ]; do
		one_client || return
		sleep 0.1
	done
}

number() {
	sed -n "s/^    \"$1\": \([0-9]*\),*$/\1/p" "$work/load.out"
}

# dies_under_load NAME HOST DEATH OTHER...: that host dies by that command.
dies_under_load() {
	name=$1
	host=$2
	death=$3
	shift 3
	rm -f "$work/enough"
	started load ip netns exec "$prefix-20" timeout 60 "$load" -c $connections -r 3000 -d 8 --timeout 4 --json \
		$balancer:7000
	load_pid=$started
	check "$name: all hosts have their share" wait_for 10 hold $((connections / ($# + 1) - 20)) "$host" "$@"
	check "$name: and new clients are served" one_client
	lost=$(held "$host")
	"$death" "$host"
	# Not earlier: one that is at this host when it dies is lost with it.
	started new_clients new_clients
	new_clients_pid=$started
	ends "$load_pid"
	: >"$work/enough"
	check "$name: new clients are served all the while" ends "$new_clients_pid"
	is "$name: its connections are lost" "$(($(number errors) > lost / 2))" 1
	at_most "$name: and no others" "$(number errors)" "$lost"
	is "$name: no wrong byte" "$(number wrong_bytes) $(number extra_bytes)" '0 0'
}

# ---- HAProxy in front

for n in 11 12 13; do
	serves $n host.conf
done
check 'every host serves' wait_for 10 hold 0 11 12 13
if command -v haproxy >/dev/null; then
	started haproxy ip netns exec "$prefix-10" haproxy -db -f "$work/haproxy.cfg"
	haproxy_pid=$started
	check 'HAProxy: a client is served' wait_for 10 one_client
	dies_under_load 'HAProxy, a silent host' 13 silence 11 12
	cat "$work/haproxy.out" "$work/haproxy.err" >"$work/haproxy.log"
	like 'HAProxy has found out by its checks' "$work/haproxy.log" 'hosts/host3 is DOWN'
	like 'a host knows the clients' "$work/server11.log" 'service: connection [0-9]+ from 192\.0\.2\.20:[0-9]+ '
	like 'and logs the checks' "$work/server11.log" \
		"service: connection [0-9]+ from $balancer:[0-9]+ ended: .*; 0 bytes in, 0 out"
	stops "$haproxy_pid"
	cable 13 up
else
	skip 'HAProxy' 'haproxy is missing' 10
fi

# ---- a forwarder in front

serves 10 forward.conf
check 'forward: a client is served' wait_for 10 one_client
dies_under_load 'forward, a host that refuses' 12 crash 11 13
dies_under_load 'forward, a silent host' 13 silence 11
like 'forward has found out by its clients' "$work/server10.log" 'service: target 192\.0\.2\.12:7000 is down: Connection refused'
like 'of both' "$work/server10.log" 'service: target 192\.0\.2\.13:7000 is down: Connection timed out'
