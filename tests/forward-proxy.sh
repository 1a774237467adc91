#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The PROXY protocol: headers that come in pieces, late, wrong or not at all, and from those who may not
# send any; what looks at the address in them; headers that the forwarder sends; and HAProxy on both
# sides of it.
# shellcheck disable=SC2154 # DAEMON_PID, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/forward-lib.sh
. "${top_srcdir:-.}/tests/forward-lib.sh"
require od timeout
plan 62

have_v6=
! grep -q . /proc/net/if_inet6 2>/dev/null || have_v6=1
haproxy=$(PATH=$PATH:/usr/sbin:/sbin command -v haproxy)

# reserve NAME ADDRESS: an address with a port that nobody uses, as $NAME.
reserve() {
	listens reserve "$2:0" || exit
	stops "$started"
	eval "$1=\$at"
}
reserve target 127.0.8.1
reserve front 127.0.8.2
reserve back 127.0.8.3
reserve from 127.0.0.8

config <<END
workers = 2;
drain_timeout = 1.0;
defaults: { proxy: { from = ( "127.0.0.1" ); header_timeout = 1.0; }; };
sockets = (
	{ name = "echo"; handler = "echo"; log: { connections = false; }; },
	{ name = "named"; handler = "echo"; },
	{ name = "rules"; handler = "echo"; access: { deny = ( "192.0.2.9", "127.0.0.2" ); }; },
	{ name = "few"; handler = "echo"; limits: { per_source = 2; }; },
	{ name = "path"; handler = "echo"; },

	{ name = "v1"; handler = "forward"; proxy: { };
	  settings: { target = "$target"; proxy_protocol = "v1"; }; },
	{ name = "v2"; handler = "forward"; proxy: { };
	  settings: { target = "$target"; proxy_protocol = "v2"; }; },
	{ name = "six"; handler = "forward"; proxy: { };
	  settings: { target = "$target"; proxy_protocol = "v1"; }; },
	{ name = "local1"; handler = "forward"; proxy: { };
	  settings: { target = "$target"; proxy_protocol = "v1"; }; },
	{ name = "local2"; handler = "forward"; proxy: { };
	  settings: { target = "$target"; proxy_protocol = "v2"; }; },
	{ name = "own1"; handler = "forward"; proxy: { };
	  settings: { target = "$work/path.socket"; proxy_protocol = "v1"; }; },
	{ name = "own2"; handler = "forward"; proxy: { };
	  settings: { target = "$work/path.socket"; proxy_protocol = "v2"; }; },
	{ name = "chain"; handler = "forward"; access: { deny = ( "192.0.2.9" ); };
	  settings: { target = "$target"; proxy_protocol = "v1"; }; },
	{ name = "between1"; handler = "forward";
	  settings: { target = "$back"; proxy_protocol = "v1"; }; },
	{ name = "between2"; handler = "forward";
	  settings: { target = "$back"; proxy_protocol = "v2"; }; }
);
END
set -- --unix "path=$work/path.socket" --unix "local1=$work/local1.socket" \
	--unix "local2=$work/local2.socket"
for name in echo named rules few v1 v2 six own1 own2 chain between1 between2; do
	address=127.0.0.1:0
	[ "$name$have_v6" != six1 ] || address='[::1]:0'
	set -- "$@" --tcp "$name=$address"
done
check 'it starts' start_server "$@" || exit
start_sockets=$(descriptors "$DAEMON_PID" socket)

# ---- headers

# shellcheck disable=SC2034 # by eval
{
	v1='PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n'
	v1_six='PROXY TCP6 2001:db8::7 2001:db8::1 4242 443\r\n'
	v1_unknown='PROXY UNKNOWN\r\n'
	v2_signature='\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a'
	v2_addresses='\xc0\x00\x02\x07\xc6\x33\x64\x01\x10\x92\x01\xbb' # those of v1
	v2="$v2_signature\\x21\\x11\\x00\\x0c$v2_addresses"
	v2_tlv="$v2_signature\\x21\\x11\\x00\\x14$v2_addresses\\x04\\x00\\x05hello"
	v2_local="$v2_signature\\x20\\x00\\x00\\x00"
}

# client ADDRESS STEP...: begins with a header from that address.
client() {
	client_of=$1
	client_to=$2
	shift 2
	"$peer" "$client_to" "say:PROXY TCP4 $client_of 198.51.100.1 4242 443\r\n" "$@"
}

# cut_anywhere BYTES, each as \xHH: behind each of them. The first part is read before the second comes.
cut_anywhere() {
	cut_at=4
	cut_pids=
	while [ $cut_at -lt ${#1} ]; do
		started cut "$peer" "$TARGET_echo" "say:$(echo "$1" | cut -c "1-$cut_at")" nap:50 \
			"say:$(echo "$1" | cut -c "$((cut_at + 1))-")hello" hear:hello fin eof
		cut_pids="$cut_pids $started"
		cut_at=$((cut_at + 4))
	done
	# shellcheck disable=SC2086 # a list of words
	ends $cut_pids
}
# shellcheck disable=SC2059 # its \r\n are meant
check 'version 1, cut anywhere' cut_anywhere "$(printf "$v1" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g')"
check 'version 2, cut anywhere' cut_anywhere "$v2"
for name in v1 v1_six v1_unknown v2 v2_tlv v2_local; do
	eval "header=\$$name"
	check "$name and the first bytes in one segment" "$peer" "$TARGET_echo" "say:${header}hello" \
		hear:hello both:100000 fin eof
	check "$name and the end" "$peer" "$TARGET_echo" "say:$header" fin eof
done
check 'byte by byte' "$peer" "$TARGET_echo" say:P nap:20 say:R nap:20 say:OXY nap:20 'say: ' nap:20 \
	"say:${v1#PROXY }" say:hello hear:hello

# says REGEX COMMAND...: which makes the line in the log; again where that was one too many in a second.
says() {
	says_regex=$1
	shift
	for _ in 1 2 3; do
		"$@" || return
		! wait_for 1 logged "$says_regex" || return 0
	done
	echo "no line like: $says_regex"
	return 1
}

# wrong NAME HEADER REGEX: it is closed without an answer, and the log says why.
wrong() {
	check "$1" says "named: 127\\.0\\.0\\.1:[0-9]+ was turned away: bad-header, $3" \
		"$peer" "$TARGET_named" "say:$2" gone
}
wrong 'no header at all: it is closed without an answer, and the log says why' 'GET / HTTP/1.0\r\n\r\n' \
	'it begins as no version does'
is 'once' "$(grep -c 'it begins as no version does' "$DAEMON_LOG")" 1
wrong 'version 1: a line that is too long' "PROXY TCP4 $(printf %0100d 1)" 'its line does not end'
wrong 'version 1: the wrong family' 'PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n' \
	'the source is not an address of its family'
wrong 'version 1: a port that is none' 'PROXY TCP4 192.0.2.7 192.0.2.8 1 65536\r\n' 'the destination port'
wrong 'version 1: no CR' 'PROXY TCP4 192.0.2.7 192.0.2.8 1 2\n' 'it has bytes that'
wrong 'version 2: another version' "$v2_signature\\x31\\x11\\x00\\x0c$v2_addresses" '.'
wrong 'version 2: addresses that are cut' "$v2_signature\\x21\\x11\\x00\\x0b$v2_addresses" '.'
check 'an end within it' says 'bad-header, the connection ended within it' \
	"$peer" "$TARGET_named" 'say:PROXY TCP4 ' fin gone
check 'an end before it' says 'bad-header, there is none' "$peer" "$TARGET_named" fin gone
check 'a reset within it is no trouble' "$peer" "$TARGET_named" 'say:PROXY TCP4 ' nap:50 rst

# ---- in time, or not

check 'slow, but in time' "$peer" "$TARGET_named" say:PROXY nap:300 "say: TCP4 192.0.2.7 198.51" nap:300 \
	'say:.100.1 4242 443\r\nhello' hear:hello fin eof
check 'afterwards there is no hurry' "$peer" "$TARGET_named" "say:$v1" nap:1200 say:hello hear:hello
before=$(milliseconds)
check 'too slow, though some of it always comes' says 'bad-header, it did not come in time' \
	"$peer" "$TARGET_named" say:PROXY nap:500 'say: TCP4' nap:400 'say: 192.0.2.7' gone
took=$(($(milliseconds) - before))
is "it is closed at header_timeout ($took ms)" "$((took >= 900 && took < 9000))" 1
check 'who says nothing at all' says 'bad-header, it did not come in time' "$peer" "$TARGET_named" gone

# ---- who is it

check 'who is no proxy may not connect' says 'named: 127\.0\.0\.9:[0-9]+ was turned away' \
	"$peer" --from 127.0.0.9:0 "$TARGET_named" gone
check 'nor with a header' "$peer" --from 127.0.0.9:0 "$TARGET_named" nap:50 gone
check 'the log has the address of the header' says 'named: connection [0-9]+ from 192\.0\.2\.17:4242 ' \
	client 192.0.2.17 "$TARGET_named" say:x hear:x fin eof
check 'that of the connection where it names none' \
	says 'named: connection [0-9]+ from 127\.0\.0\.1:[0-9]+ .* 5 bytes in' \
	"$peer" "$TARGET_named" "say:${v2_local}local" hear:local fin eof
check 'rules: one that may' client 192.0.2.8 "$TARGET_rules" say:x hear:x
check 'rules: one that may not' says 'rules: 192\.0\.2\.9:4242 was turned away: denied' \
	client 192.0.2.9 "$TARGET_rules" gone
for n in 1 2; do
	started few$n client 192.0.2.7 "$TARGET_few" say:x hear:x "make:$work/few$n" "wait:$work/leave"
	eval "few$n=\$started"
	wait_for 5 test -e "$work/few$n"
done
check 'per_source: no third one' says 'few: 192\.0\.2\.7:4242 was turned away: too-many' \
	client 192.0.2.7 "$TARGET_few" gone
check 'per_source: but one from elsewhere' client 192.0.2.8 "$TARGET_few" say:x hear:x
: >"$work/leave"
# shellcheck disable=SC2154 # by eval
check 'per_source: the two were served' ends "$few1" "$few2"
few_is_free() {
	client 192.0.2.7 "$TARGET_few" say:x hear:x
}
check 'per_source: then there is room again' wait_for 5 few_is_free

# ---- headers of our own

# bytes PORT: the two of version 2.
bytes() {
	printf '\\x%02x\\x%02x' $(($1 / 256)) $(($1 % 256))
}

# sends NAME CLIENT-ADDRESS HEADER: the target gets it, then what the client sends.
sends() {
	pair "$1" "$2" "$target" 'say:hello both:3000000 fin eof' "hear:$3 hear:hello both:3000000 eof"
}
client_options="--from $from"
sends 'it sends version 1' "$TARGET_v1" \
	"PROXY\\x20TCP4\\x20127.0.0.8\\x20127.0.0.1\\x20${from#*:}\\x20${TARGET_v1#*:}\\r\\n"
sends 'it sends version 2' "$TARGET_v2" "$v2_signature\\x21\\x11\\x00\\x0c\\x7f\\x00\\x00\\x08\\x7f\\x00\\x00\
\\x01$(bytes "${from#*:}")$(bytes "${TARGET_v2#*:}")"
client_options=
if [ -n "$have_v6" ]; then
	client_options="--from [::1]:${from#*:}"
	sends 'it sends version 1 for a client of IPv6' "$TARGET_six" \
		"PROXY\\x20TCP6\\x20::1\\x20::1\\x20${from#*:}\\x20${TARGET_six##*:}\\r\\n"
	client_options=
else
	skip 'it sends version 1 for a client of IPv6' 'there is no IPv6 here'
fi
sends 'it sends UNKNOWN for a client of AF_UNIX' "unix:$work/local1.socket" 'PROXY\x20UNKNOWN\r\n'
sends 'it sends LOCAL for a client of AF_UNIX' "unix:$work/local2.socket" "$v2_local"
pair 'a target that speaks first, and never hears of the client but the header' "$TARGET_v1" "$target" \
	'hear:hello eof' 'say:hello line'
for n in 1 2; do
	eval "to=\$TARGET_own$n"
	check "version $n to a section of our own" "$client" "$to" random 50 "$n"
	check "version $n: the section knows the client" \
		says "path: connection [0-9]+ from 127\.0\.7\.$n:[0-9]+ " \
		"$peer" --from 127.0.7.$n:0 "$to" say:x hear:x fin eof
done
# passed_on HEADER: what a target hears of a client that came with that one.
passed_on() {
	listens target --count 1 "$target" line hear:hello eof || return
	passed_on_target=$started
	started client "$peer" --from "127.0.0.1:${from#*:}" "$TARGET_chain" "say:${1}hello" fin eof
	ends "$started" "$passed_on_target" || return
	sed -n 's/\r//; s/^PROXY //p' "$work/target.out"
}
is 'both addresses are passed on, from header to header' "$(passed_on "$v1")" \
	'TCP4 192.0.2.7 198.51.100.1 4242 443'
is 'from version 2 as well' "$(passed_on "$v2_tlv")" 'TCP4 192.0.2.7 198.51.100.1 4242 443'
is 'of any family' "$(passed_on "$v1_six")" 'TCP6 2001:db8::7 2001:db8::1 4242 443'
for header in "$v1_unknown" "$v2_local"; do
	is 'a header without addresses has those of the connection passed on' "$(passed_on "$header")" \
		"TCP4 127.0.0.1 127.0.0.1 ${from#*:} $PORT_chain"
done
check 'and rules have looked at it' client 192.0.2.9 "$TARGET_chain" gone

# ---- HAProxy

# haproxy_between N SEND: client, HAProxy, this server, HAProxy, target; version N from us.
haproxy_between() {
	eval "haproxy_us=\$TARGET_between$1"
	cat >"$work/haproxy.cfg" <<-END
		defaults
			mode tcp
			timeout connect 5s
			timeout client 20s
			timeout server 20s
			retries 0
		listen front
			bind $front
			server us $haproxy_us $2
		listen back
			bind $back accept-proxy
			server target $target send-proxy
	END
	started haproxy "$haproxy" -db -f "$work/haproxy.cfg"
	haproxy_pid=$started
	# Through all of it, and gone before the target is there.
	wait_for 10 "$peer" "$front" gone || return
	listens target --count 1 "$target" line both:10000000 eof
	started between "$peer" --from "$from" "$front" both:10000000 fin eof
	ends "$started" ||
		cat "$work/haproxy.out" "$work/haproxy.err"
	wait_for 20 gone "$started"
	stops "$haproxy_pid"
	sed -n 's/\r//; s/^PROXY //p' "$work/target.out"
}
for n in 1 2; do
	send='send-proxy'
	[ $n = 1 ] || send='send-proxy-v2'
	if [ -z "$haproxy" ]; then
		skip "HAProxy on both sides, version $n" 'haproxy is missing'
	else
		is "HAProxy on both sides, version $n" \
			"$(haproxy_between $n $send 2>&1 | cut -d ' ' -f 1,2,4)" "TCP4 127.0.0.8 ${from#*:}"
	fi
done
check 'all sockets are closed afterwards' wait_for 10 has_sockets "$DAEMON_PID" "$start_sockets"
stop_and_check 'it ends with 0'
