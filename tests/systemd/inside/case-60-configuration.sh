# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# The user's file: changed, broken, repaired.

threads() {
	local tasks=("/proc/$(main_pid)/task/"*)
	echo ${#tasks[@]}
}

start_with() { # start_with WORKERS
	configure <<-END
		workers = $1;
		sockets = ( { name = "echo"; handler = "echo"; } );
	END
	systemctl restart simple-server.service
}

start_socket
ok "one worker" start_with 1
one=$(threads)
ok "three workers, after a restart" start_with 3
is "$(threads)" $((one + 2)) "are two threads more"
ok "it serves" serves

configure <<-END
	sockets = ( { name = "echo"; handler = "echo"; log: { connections = false; }; } );
END
systemctl restart simple-server.service
mark "no connections"
ok "it serves, with the log of connections turned off" serves
systemctl --quiet stop simple-server.service
wait_entry EVENT=stopped
is "$(count_entries EVENT=connection)" 0 "and writes none"

# More failures than the limits of systemd allow by default: 5 starts in 10 s, 20 triggers in 2 s.
mark "a wrong file"
configure <<-END
	sockets = (
	  { name = "echo"; handler = "echo"; wrokers = 3; }
	);
END
ok "with a wrong file the start fails" not systemctl --quiet start simple-server.service
ok "again and again, with status 78" \
	wait_entries 22 UNIT=simple-server.service EXIT_CODE=exited EXIT_STATUS=78
ok "the file and the line are named" wait_entry -t simple-server PRIORITY=3
note "$(field MESSAGE)"
like "$(field MESSAGE)" "$CONFIG:2: .*wrokers" "in the message"
ok "the port is still open" connect
printf 'patience' >&"$peer"
is "$(of_socket ActiveState)" active "the socket unit is fine"

cat /run/check/installed.conf >"$CONFIG"
waiting=
read -r -N 8 -t $PATIENCE waiting <&"$peer"
hang_up
is "$waiting" patience "once the file is right, who waited is served"
wait_ready
is "$(of_service ActiveState)" active "the service runs"
