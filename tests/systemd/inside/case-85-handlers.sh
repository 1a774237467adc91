# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# The sockets of the other services, which are off as installed, and a second instance by the template.

readonly OTHERS=(discard chargen daytime time)
others=("${OTHERS[@]/#/simple-server-}")
others=("${others[@]/%/.socket}")

of_others() { # of_others PROPERTY: its values, each once
	systemctl show -P "$1" "${others[@]}" | sort -u | sed '/^$/d'
}

is "$(of_others UnitFileState)" disabled "the sockets of the other services are off"
for name in "${OTHERS[@]}"; do
	is "$(systemctl show -P FileDescriptorName "simple-server-$name.socket")" "$name" \
		"$name has its own name"
done

# Switched on as they say, while the service runs and somebody is connected.
start_socket
ok "echo is served" serves
configure <<-END
	sockets = (
	  { name = "echo"; handler = "echo"; },
	  { name = "discard"; handler = "discard"; },
	  { name = "chargen"; handler = "chargen"; },
	  { name = "daytime"; handler = "daytime"; },
	  { name = "time"; handler = "time"; }
	);
END
ok "while the service runs none of them starts" \
	not systemctl --quiet start simple-server-time.socket
systemctl --quiet enable "${others[@]}"
connect
ok "once they are enabled, a restart of the service" systemctl restart simple-server.service
hang_up
is "$(of_others SubState)" running "starts them all"
is "$(of_service NRestarts)" 0 "at once"
ok "so is echo" serves

answer_of() { # answer_of PORT BYTES: what comes first
	connect 127.0.0.1 "$1" && timeout $PATIENCE head -c "$2" <&"$peer"
	hang_up
}

zone=$(date +%Z)
like "$(answer_of 13 100 | tr -d '\r')" \
	"^[0-9]{2} [A-Z]{3} 20[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} $zone\$" "daytime is in local time"
seconds=$((0x$(answer_of 37 4 | od -An -v -tx1 | tr -d ' \n') - 2208988800))
now=$(date +%s)
ok "time is now" test $seconds -le $now -a $seconds -ge $((now - PATIENCE))
is "$(answer_of 19 7030 | tail -c 74 | head -c 10)" '~ !"#$%&'"'(" "chargen has its last line"
mark "discard"
connect 127.0.0.1 9
head -c 104857600 /dev/zero >&"$peer"
hang_up
ok "discard is logged" wait_entry EVENT=connection SOCKET=discard
is "$(field HANDLER)" discard "with its handler"
is "$(field BYTES_IN)" 104857600 "with BYTES_IN="
is "$(field BYTES_OUT)" 0 "with BYTES_OUT="
systemctl --quiet stop simple-server.service
like "$(answer_of 13 2)" '^[0-9]{2}$' "a client of any of them starts the service again"
systemctl --quiet disable --now "${others[@]}"
cat /run/check/installed.conf >"$CONFIG"
ok "without them and their entries" systemctl restart simple-server.service
ok "their ports are closed" not connect 127.0.0.1 13
ok "and echo is served" serves
restore

# ---- the template

readonly DIRECTORY=${CONFIG%.conf}
mkdir -p "$DIRECTORY" 2>/dev/null
[ -w "$DIRECTORY" ] || mount -t tmpfs -o mode=755 tmpfs "$DIRECTORY"
cat >"$DIRECTORY/check.conf" <<-END
	workers = 1;
	sockets = ( { name = "check"; handler = "echo"; } );
END
chmod 644 "$DIRECTORY/check.conf"

of_instance() {
	systemctl show -P "$1" simple-server@check.service
}

start_socket
ok "the first instance serves" serves
first_pid=$(main_pid)
ok "the socket of another instance starts" systemctl --quiet start simple-server@check.socket
is "$(stat -c %a /run/simple-server/check)" 660 "it is a path, not for everybody"
is "$(of_instance ActiveState)" inactive "its service does not run yet"
if [ -n "$client" ]; then
	is "$(echo "by path" | ordinary_client unix /run/simple-server/check)" "by path" \
		"the first client is served"
else
	skip "the first client is served" "neither socat nor nc.openbsd"
fi
systemctl --quiet stop simple-server@check.socket
ok "its path goes with it" not test -e /run/simple-server/check
is "$(of_instance ActiveState)" inactive "and its service"

add_drop_in simple-server@check.socket <<-END
	[Socket]
	ListenStream=
	ListenStream=127.0.0.1:7779
END
mark "second instance"
ok "it starts with an address" systemctl --quiet start simple-server@check.socket
ok "and serves" serves 127.0.0.1 7779
ok "its connection is logged" wait_entry EVENT=connection SOCKET=check
is "$(field _SYSTEMD_UNIT)" simple-server@check.service "under its unit"
ok "it is a process of its own" not same "$(of_instance MainPID)" "$first_pid"
ok "a restart of it" systemctl restart simple-server@check.service
is "$(main_pid)" "$first_pid" "leaves the first alone"
ok "and it serves again" serves 127.0.0.1 7779
is "$(of_instance Result)" success "it is fine"

# What is in one unit and not in the other, but for comments.
differences() {
	diff <(grep -v '^#' "$SERVICE" | sed '/^$/d') \
		<(grep -v '^#' "${SERVICE%.service}@.service" | sed '/^$/d') |
		sed -n 's/^[<>] \([A-Za-z]*\)=.*/\1/p' | sort -u | xargs
}
is "$(differences)" "After Description ExecReload ExecStart Requires" \
	"the template is the service but for its name and its file"

instance_exposure_is_low() {
	systemd-analyze security --no-pager --threshold=2 simple-server@check.service \
		>/run/check/security && return
	note </run/check/security
	return 1
}
ok "its exposure is 0.2 at most" instance_exposure_is_low

all_are_clean() {
	systemd-analyze verify --man=no "${others[@]}" simple-server@check.socket \
		simple-server@check.service >/run/check/verify 2>&1 && [ ! -s /run/check/verify ] &&
		return
	note </run/check/verify
	return 1
}
ok "systemd-analyze verify has nothing to say of all these" all_are_clean

systemctl --quiet stop 'simple-server@*'
rm -rf "$RUNTIME"/simple-server@*
