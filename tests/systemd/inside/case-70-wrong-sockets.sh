# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# Sockets that simple-server cannot serve: it says so in one line, ends with 78, and closes nothing.

# says REGEX: an error in the journal says so, and the status is 78. Matched by the identifier: of a
# process that is gone already journald cannot always find out the unit.
says() {
	wait_entry "UNIT=$unit" EXIT_CODE=exited EXIT_STATUS=78 || return
	journal_since -o cat -t simple-server PRIORITY=3 | sort -u >/run/check/said
	note </run/check/said
	grep -Eq "$1" /run/check/said
}

# refuses TEXT REGEX: with check-wrong.socket, read here, beside the right one.
refuses() {
	mark "$1"
	unit=simple-server.service
	{
		cat
		echo "Service=simple-server.service"
	} >$RUNTIME/check-wrong.socket
	systemctl daemon-reload
	systemctl start check-wrong.socket
	systemctl start --no-block simple-server.service
	ok "$1 is refused with 78 and a reason" says "$2"
	ok "$1: the right socket is still open" connect
	systemctl --quiet stop check-wrong.socket
	ok "$1: and served when the wrong one is gone" echoes "$1"
	hang_up
	systemctl --quiet stop simple-server.service
}

start_socket
refuses "a datagram socket" '\(echo\).*datagram' <<-END
	[Socket]
	ListenDatagram=127.0.0.1:7778
	FileDescriptorName=echo
END
refuses "a sequential packet socket" '\(echo\).*not a stream socket' <<-END
	[Socket]
	ListenSequentialPacket=/run/check-wrong
	FileDescriptorName=echo
END
refuses "a FIFO" '\(echo\).*not a socket' <<-END
	[Socket]
	ListenFIFO=/run/check-fifo
	FileDescriptorName=echo
END
refuses "a name that the file does not have" 'nobody' <<-END
	[Socket]
	ListenStream=127.0.0.1:7778
	FileDescriptorName=nobody
END

# The other way round: a name in the file that no unit has.
unit=simple-server.service
configure <<-END
	sockets = (
	  { name = "echo"; handler = "echo"; },
	  { name = "nobody"; handler = "echo"; }
	);
END
mark "a name without a socket"
ok "with a name in the file that no unit has the start fails" \
	not systemctl --quiet start simple-server.service
ok "with 78 and a reason" says 'nobody'
add_drop_in simple-server.service <<-END
	[Service]
	ExecStart=
	ExecStart=$(sed -n 's/^ExecStart=//p' "$SERVICE") --ignore-unknown-sockets
END
ok "but not with --ignore-unknown-sockets" serves
restore

# Accept=yes needs a template, which no socket is required by.
mark "Accept=yes"
sed '/^Requires=/d; /^After=/d; /^Restart=/d' "$SERVICE" >"$RUNTIME/check-accept@.service"
cat >$RUNTIME/check-accept.socket <<-END
	[Socket]
	ListenStream=127.0.0.1:7779
	Accept=yes
END
systemctl start check-accept.socket
accept_is_refused() {
	wait_entry EXIT_CODE=exited EXIT_STATUS=78 || return
	unit=$(field UNIT)
	says 'Accept=yes'
}
connect 127.0.0.1 7779
ok "Accept=yes is refused with 78 and a reason" accept_is_refused
hang_up
