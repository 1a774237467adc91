#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Wrong environments: each is one clear line and exit status 78; and what is taken although it looks odd.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_name, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
plan 37

tcp=127.0.0.1:0
echo_config echo

# ---- how the sockets are announced

refuses 'nothing passed: names the unit to start' 'start simple-server\.socket'
refuses 'LISTEN_PID of another process: both are named' 'LISTEN_PID=1\b.* [0-9]+' \
	--tcp echo=$tcp --override LISTEN_PID=1
refuses 'LISTEN_PID that is no number' 'LISTEN_PID=abc' --tcp echo=$tcp --override LISTEN_PID=abc
refuses 'LISTEN_PID without LISTEN_FDS' '.' --tcp echo=$tcp --unset LISTEN_FDS --unset LISTEN_FDNAMES
for number in 0 abc -1 99999999999 1000000; do
	refuses "LISTEN_FDS=$number" "LISTEN_FDS=$number" \
		--tcp echo=$tcp --unset LISTEN_FDNAMES --override "LISTEN_FDS=$number"
done
refuses 'more sockets counted than passed' 'LISTEN_FDS=2|fd 4 .* not open' --tcp echo=$tcp --override LISTEN_FDS=2 \
	--override LISTEN_FDNAMES=echo:echo
refuses 'more names than sockets' 'LISTEN_FDNAMES=echo:more' \
	--tcp echo=$tcp --override LISTEN_FDNAMES=echo:more
refuses 'fewer names than sockets' 'LISTEN_FDNAMES=echo' \
	--tcp echo=$tcp --tcp echo=$tcp --override LISTEN_FDNAMES=echo
refuses 'no names at all: says what to set' 'unknown' --tcp echo=$tcp --unset LISTEN_FDNAMES
refuses 'an empty name' '""' --tcp echo=$tcp --override LISTEN_FDNAMES=
escape=$(printf '\033')
newline='
'
refuses 'control bytes in a name are escaped' 'a\\x1bb' --tcp echo=$tcp \
	--override "LISTEN_FDNAMES=a${escape}b"
unlike 'and do not get out raw' "$DAEMON_LOG" "$escape"
refuses 'a newline in a name makes no new line' 'a\\x0a<0>b' --tcp echo=$tcp \
	--override "LISTEN_FDNAMES=a${newline}<0>b"
refuses 'a name of 255 bytes is cut' 'aaaaaaaa' --tcp echo=$tcp \
	--override "LISTEN_FDNAMES=$(printf '%255s' '' | tr ' ' a)"
unlike 'so that the line can be read' "$DAEMON_LOG" 'a{100}'

# ---- what the sockets are

refuses 'a closed descriptor' 'fd 3|Bad file descriptor' --closed echo
refuses 'a regular file' '3 \(echo\).*not a .*socket' --file echo="$conf"
refuses '/dev/null' '3 \(echo\).*not a .*socket' --file echo=/dev/null
refuses 'a FIFO' '3 \(echo\).*not a .*socket' --fifo echo="$work/fifo"
refuses 'an epoll descriptor' '3 \(echo\).*not a .*socket' --epoll echo
refuses 'a datagram socket: names the directive' 'ListenDatagram=.*ListenStream=|datagram' --udp echo=$tcp
refuses 'a sequential-packet socket: names the directive' 'not a stream socket; use ListenStream=' \
	--seqpacket echo="$work/seqpacket"
refuses 'an accepted connection: names Accept=yes' 'Accept=yes' --connected echo
echo_config connection
refuses 'even where its name has a section' 'Accept=yes' --connected connection
echo_config echo
refuses 'a socket that does not listen' 'not listen' --not-listening echo=$tcp

# ---- names and sections

refuses 'a name without a section: both lists are named' 'other.*echo' \
	--tcp echo=$tcp --tcp other=$tcp
echo_config echo more
refuses 'a section without a socket: both lists are named' 'more' --tcp echo=$tcp
echo_config echo
allow_root="$allow_root --ignore-unknown-sockets"
check '--ignore-unknown-sockets serves the rest' start_server --tcp other=$tcp --tcp echo=$tcp
check 'which works' "$client" "$TARGET_echo" churn 10
stop_server
end_play
allow_root=${allow_root% *}
server_args="$server_args --ignore-unknown-sockets"
refuses 'but it does not start with nothing to serve' 'other|no socket' --tcp other=$tcp

# ---- odd, but right

check 'a socket without O_NONBLOCK is made non-blocking' start_server --blocking --tcp echo=$tcp
check 'which works' "$client" "$TARGET_echo" churn 10
stop_and_check 'it ends with 0'
