# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# Several addresses in one unit, several units, and siblings at one address.

readonly SOCKET_PATH=/run/check-echo

add_drop_in simple-server.socket <<-END
	[Socket]
	ListenStream=
	ListenStream=127.0.0.1:7777
	ListenStream=[::1]:7777
	ListenStream=$SOCKET_PATH
END
ok "a unit with IPv4, IPv6 and AF_UNIX starts" start_socket
ok "IPv4 is served" serves 127.0.0.1
if [ -e /proc/net/if_inet6 ]; then
	ok "IPv6 is served" serves ::1
	ok "and logged" wait_entries 2 EVENT=connection
	# Two threads log the two connections, in any order.
	like "$(journal_since -o cat EVENT=connection)" 'from \[::1\]:[0-9]+ ' "with its address"
else
	skip "IPv6 is served" "no IPv6 here"
fi

unix_is_served() {
	[ "$(echo "by path" | ordinary_client unix $SOCKET_PATH)" = "by path" ]
}
if [ -n "$client" ]; then
	ok "AF_UNIX is served" unix_is_served
	systemctl --quiet stop simple-server.service
	ok "its path is still there after a stop" test -S $SOCKET_PATH
	ok "and starts the service again" unix_is_served
else
	skip "AF_UNIX is served" "neither socat nor nc.openbsd"
fi
restore

# A second name: another socket unit for the same service.
cat >$RUNTIME/check-second.socket <<-END
	[Socket]
	ListenStream=127.0.0.1:7778
	FileDescriptorName=second
	Service=simple-server.service
END
configure <<-END
	sockets = (
	  { name = "echo"; handler = "echo"; },
	  { name = "second"; handler = "echo"; }
	);
END
systemctl daemon-reload
start_socket
systemctl start check-second.socket
mark "a second name"
ok "a second socket unit starts the service" serves 127.0.0.1 7778
ok "its connection is logged" wait_entry EVENT=connection
is "$(field SOCKET)" second "under its name"
ok "the first is served too" serves
restore

# The kernel spreads connections over siblings by their ports: one that is not served shows at once.
add_drop_in simple-server.socket <<-END
	[Socket]
	ReusePort=yes
	ListenStream=127.0.0.1:7777
END
start_socket
siblings() {
	local all
	all=$(grep -c ' 0100007F:1E61 00000000:0000 0A ' /proc/net/tcp)
	same "$all" 2
}
ok "ReusePort=yes and the address repeated are two sockets" siblings
all_are_served() {
	local n
	for ((n = 0; n < 64; n++)); do
		serves || return
	done
}
ok "both are served" all_are_served
