# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# A stop ends the connections politely and leaves the socket alone.

drain_for() { # drain_for SECONDS: the drain_timeout of the next start
	configure <<-END
		drain_timeout = $1;
		sockets = ( { name = "echo"; handler = "echo"; } );
	END
}

drain_for 0.5
start_socket
connect
ok "it serves a client that stays" echoes "I stay"
stays=$peer
connect
ok "and another one" echoes "me too"
stays_too=$peer

systemctl --quiet stop simple-server.service &
stop=$!
ok "the first gets a FIN, no RST" ends_with_fin "$stays"
ok "the second gets a FIN, no RST" ends_with_fin "$stays_too"
exec {stays}>&- {stays_too}>&-
ok "the stop succeeds" wait "$stop"
is "$(of_service Result)" success "within its time"
is "$(of_service ExecMainStatus)" 0 "with status 0"
ok "both are logged" wait_entries 2 -u simple-server EVENT=connection
is "$(field REASON)" drain "as ended by the stop"

is "$(of_socket SubState)" listening "the socket still listens"
ok "the next client starts the service again" serves

# While it drains it serves those who are there.
mark "a long drain"
drain_for 3600.0
systemctl restart simple-server.service
connect
ok "again a client stays" echoes "I stay"
systemctl --quiet stop simple-server.service &
stop=$!
ok "the stop begins" wait_entry EVENT=stopping
ok "the client is still served" echoes "not yet"
systemctl kill --signal=TERM simple-server.service
ok "a second signal ends the wait" wait "$stop"
is "$(of_service Result)" success "cleanly"
hang_up

mark "a drain that takes longer than systemd waits"
add_drop_in simple-server.service <<-END
	[Service]
	TimeoutStopSec=1s
END
drain_for 7.0 # longer than what the service asks for at once
connect
ok "once more a client stays" echoes "I stay"
ok "the stop takes longer than TimeoutStopSec=" systemctl --quiet stop simple-server.service
is "$(of_service Result)" success "and yet is clean: the service has asked for the time"
ok "the client gets a FIN, no RST" ends_with_fin "$peer"
hang_up
