# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# Restarts and crashes under a client that knocks all the time.

start_socket
ok "it serves" serves

restart_often() {
	local n
	for ((n = 0; n < 20; n++)); do
		systemctl restart simple-server.service || return
	done
}
start_knocking
ok "20 restarts" restart_often
stop_knocking
is "$refused" 0 "nobody was refused"
is "$lost" 0 "nobody was cut off"
ok "somebody was served" test "$served" -gt 20

kill_often() {
	local n
	for ((n = 0; n < 5; n++)); do
		systemctl kill --kill-who=main --signal=KILL simple-server.service || return
		wait_entries $((n + 1)) UNIT=simple-server.service EXIT_STATUS=9 || return
		serves || return
	done
}
start_knocking
ok "5 times killed, 5 times back" kill_often
stop_knocking
is "$refused" 0 "nobody was refused"
is "$(of_service NRestarts)" 5 "each was a restart by systemd"
is "$(of_socket SubState)" running "the socket is as before"
