# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# A journald that hangs, for longer than the watchdog waits. Its socket fills up, and whoever writes to it
# synchronously hangs with it.

# One message each, until one blocks.
fill_journal_socket() {
	local n
	for ((n = 0; n < 10000; n++)); do
		echo "MESSAGE=filler" | timeout 1 logger --journald || return 0
	done
	return 1
}

many_are_served() {
	local n
	for ((n = 0; n < 1000 || SECONDS < began + 5; n++)); do
		serves || return
	done
}

add_drop_in simple-server.service <<-END
	[Service]
	WatchdogSec=2s
END
start_socket
ok "it serves" serves
pid=$(main_pid)
connect
ok "a client stays" echoes "before"
stays=$peer

systemctl kill --signal=STOP systemd-journald.service
ok "the socket of a stopped journald is full" fill_journal_socket
began=$SECONDS
ok "1000 clients are served" many_are_served
peer=$stays
ok "so is the one who stays" echoes "meanwhile"
systemctl kill --signal=CONT systemd-journald.service

ok "and when journald goes on" echoes "after"
hang_up
is "$(main_pid)" "$pid" "by the same process"
ok "the journal says that something is missing" wait_entry -u simple-server EVENT=suppressed
note "$(field MESSAGE)"
like "$(field MESSAGE)" '[0-9]' "and how much"

systemctl kill --signal=STOP systemd-journald.service
fill_journal_socket
ok "a stop in the meantime ends" systemctl --quiet stop simple-server.service
is "$(of_service Result)" success "cleanly"
ok "and a start serves" serves
systemctl kill --signal=CONT systemd-journald.service

systemctl restart systemd-journald.service
mark "another journald"
ok "it serves after a restart of journald" serves
ok "which gets the entries" wait_entry -u simple-server EVENT=connection
