#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Socket options of the file, as the kernel shows them on accepted connections (ss), and those that a
# socket cannot have.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_name, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require ss
plan 17

config <<'END'
defaults: { options: { so_keepalive = true; tcp_keepidle = 4000; }; };
sockets = (
  { name = "plain"; handler = "echo"; },
  { name = "set"; handler = "echo";
    options: {
      so_keepalive = true; tcp_keepidle = 7000;
      so_priority = 5; ip_tos = 16; tcp_congestion = "reno";
      so_rcvbuf = 65536; so_sndbuf = 98304; so_max_pacing_rate = 123456789;
    }; },
  { name = "off"; handler = "echo"; options: { so_keepalive = false; }; },
  { name = "local"; handler = "echo"; }
);
END
check 'options for TCP in defaults do not trouble an AF_UNIX socket' start_server \
	--tcp plain=127.0.0.1:0 --tcp set=127.0.0.1:0 --tcp off=127.0.0.1:0 --unix "local=$work/local.socket"

# accepted NAME: ss of one live connection, the server's end of it.
accepted() {
	eval "accepted_port=\$PORT_$1 accepted_target=\$TARGET_$1"
	# shellcheck disable=SC2154 # by eval
	clients_start "$accepted_target" idle 1
	# shellcheck disable=SC2154
	ss -HOtnoeimp --tos state established "sport = :$accepted_port" >"$work/$1.ss"
	clients_end
}

accepted plain
like 'a default reaches the connection: so_keepalive with tcp_keepidle' "$work/plain.ss" \
	'timer:\(keepalive,(66|6[0-9])min'
accepted off
unlike 'so_keepalive = false overrides it' "$work/off.ss" 'timer:\(keepalive'
accepted set
like 'tcp_keepidle' "$work/set.ss" 'timer:\(keepalive,11[0-9]min'
like 'so_priority, which is not inherited' "$work/set.ss" 'class_id:(0x)?5\b'
like 'ip_tos' "$work/set.ss" 'tos:0x10'
like 'tcp_congestion' "$work/set.ss" '\breno\b'
like 'so_rcvbuf, doubled by the kernel' "$work/set.ss" ',rb131072,'
like 'so_sndbuf, doubled by the kernel' "$work/set.ss" ',tb196608,'
like 'so_max_pacing_rate' "$work/set.ss" 'pacing_rate [^ ]*/987654312bps'
check 'bytes still go through' "$client" "$TARGET_set" random 20
stop_and_check 'it ends with 0'
unlike 'nothing was said of options: all were taken' "$DAEMON_LOG" 'so_|tcp_|ip_'

# ---- options that do not fit

server_args=--check
config <<'END'
sockets = ( { name = "echo"; handler = "echo";
  options: { tcp_nodelay = true; }; } );
END
check 'tcp_nodelay where a socket is TCP' refusal 0 --tcp echo=127.0.0.1:0
refuses 'tcp_nodelay written for an AF_UNIX socket' "$conf:2: .*tcp_nodelay.*AF_UNIX" \
	--unix "echo=$work/echo.socket"
config <<'END'
sockets = ( { name = "echo"; handler = "echo";
  options: { so_reuseport = true; }; } );
END
refuses 'so_reuseport on a socket bound without it: names the directive' \
	"$conf:2: .*so_reuseport.*ReusePort=" --tcp echo=127.0.0.1:0
check 'so_reuseport on one that has it' refusal 0 --reuseport echo=127.0.0.1:0,2
