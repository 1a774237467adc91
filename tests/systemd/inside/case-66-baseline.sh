# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# A line that leaves the file: the option goes back to what the unit had, however the process ended.

with() { # with OPTIONS
	configure <<-END
		sockets = (
		  { name = "echo"; handler = "echo"; options: { $1 }; }
		);
	END
}

# What the kernel has for the listening socket: its time-outs are not shown, the buffer is.
buffer() {
	ss -Hltnm "sport = :$PORT" | grep -o ',rb[0-9]*'
}

keepalive() { # of a connection that comes now
	local timer
	connect && echoes k
	timer=$(ss -Htno state established "sport = :$PORT" | grep -c keepalive)
	hang_up
	is "$timer" "$1" "$2"
}

memory=/run/simple-server.service/baseline

add_drop_in simple-server.socket <<-END
	[Socket]
	KeepAlive=yes
END
with ''
start_socket
ok "it serves" serves
own=$(buffer)
keepalive 1 "the unit has KeepAlive=yes"
ok "it is remembered" grep -qx 'so_keepalive 1' $memory
is "$(stat -L -c %a /run/simple-server.service)" 700 "for nobody else to read"

with 'so_keepalive = false; so_rcvbuf = 70000;'
mark "with options"
systemctl reload simple-server.service
wait_entry EVENT=reload PRIORITY=5
keepalive 0 "the file says no"
is "$(buffer)" ,rb140000 "and another buffer"

with ''
mark "without"
systemctl reload simple-server.service
wait_entry EVENT=reload PRIORITY=5
keepalive 1 "the lines are removed, and a reload goes back"
is "$(buffer)" "$own" "in both"

# goes_back HOW COMMAND...: the options set, the process ended, the lines removed meanwhile.
goes_back() {
	local how=$1
	shift
	with 'so_keepalive = false; so_rcvbuf = 70000;'
	systemctl restart simple-server.service
	is "$(buffer)" ,rb140000 "set"
	with ''
	"$@"
	serves
	keepalive 1 "it goes back after $how"
	is "$(buffer)" "$own" "in both"
}
goes_back "a restart" systemctl restart simple-server.service
goes_back "a stop and a start" systemctl --quiet stop simple-server.service
killed() {
	mark "killed"
	systemctl kill --kill-who=main --signal=KILL simple-server.service
	wait_entry UNIT=simple-server.service EXIT_STATUS=9
}
goes_back "a crash" killed

with 'so_keepalive = false;'
systemctl restart simple-server.service
systemctl --quiet stop simple-server.service
echo 'simple-server baseline 1' >$memory
with ''
mark "damaged"
serves
ok "a damaged file is told" wait_entry EVENT=baseline
wait_ready
is "$(count_entries EVENT=baseline)" 1 "once"
is "$(of_service ActiveState)" active "and no failure"
keepalive 0 "what the socket has is then taken for the unit's"

systemctl --quiet stop simple-server.socket simple-server.service
start_socket
serves
keepalive 1 "a new socket is read anew"
is "$(grep -c '^socket' $memory)" 1 "and the old one is forgotten"

add_drop_in simple-server.service <<-END
	[Service]
	RuntimeDirectory=
END
mark "no directory"
systemctl restart simple-server.service
ok "no RuntimeDirectory= is told" wait_entry EVENT=baseline
ok "and no failure" serves
