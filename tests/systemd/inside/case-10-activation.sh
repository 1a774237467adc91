# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# The socket alone is started; the first client starts the service.

ok "the socket unit starts" start_socket
is "$(of_socket SubState)" listening "it listens"
is "$(of_service ActiveState)" inactive "the service does not run yet"

if [ -n "$client" ]; then
	is "$(echo "hello, server" | ordinary_client tcp $PORT)" "hello, server" \
		"the first client ($client) gets its bytes back"
else
	ok "the first client gets its bytes back" serves
fi
wait_ready
is "$(of_service ActiveState)" active "the service runs now"
is "$(of_service Type)" notify "and has said so itself"
like "$(of_service StatusText)" '[0-9]' "its status has numbers"
note "$(of_service StatusText)"
is "$(of_socket SubState)" running "the socket is served"
pid=$(main_pid)
ok "the second client is served" serves
is "$(main_pid)" "$pid" "by the same process"
is "$(of_service NRestarts)" 0 "which was started once"

systemctl --quiet stop simple-server.socket
is "$(of_service ActiveState)" inactive "without its socket the service stops"
is "$(of_service Result)" success "cleanly"
ok "and connections are refused" not connect

ok "the service can be started by hand" systemctl start simple-server.service
is "$(of_socket ActiveState)" active "which starts the socket"
ok "and it serves" serves

stopped_in_start() {
	systemctl start --no-block simple-server.service
	systemctl --quiet stop simple-server.service
	same "$(of_service Result)" success
}
systemctl --quiet stop simple-server.service
for _ in 1 2 3 4 5; do
	stopped_in_start || break
done
ok "a stop in the middle of the start is clean" stopped_in_start
ok "and the socket still starts the service" serves
