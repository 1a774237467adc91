# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# idle_exit: the service leaves again and again, and nobody who connects meanwhile is refused or lost.

cat >"$CONFIG" <<-END
	idle_exit = 0.1;
	sockets = ( { name = "echo"; handler = "echo"; log: { connections = false; }; } );
END
start_socket
ok "it serves" serves

# Four clients a second, so that many come when it is about to leave; tests/idle.sh aims better.
idle_clients() {
	simple-client --quiet -m churn -c 1 -r 4 -d 6 --timeout 20 127.0.0.1:7777 >/tmp/idle.out || {
		note </tmp/idle.out
		return 1
	}
}
ok "24 clients that come one by one are served" idle_clients
left=$(journalctl -u simple-server -o cat | grep -c 'there was no connection for 0.1 s')
note "it left $left times meanwhile"
ok "it left more than once" test "$left" -gt 1
is "$(systemctl show -P NRestarts simple-server.service)" 0 "which is no failure"
cat /run/check/installed.conf >"$CONFIG"
