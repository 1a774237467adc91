#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Who may connect: rules by address and by user, what is logged and counted of those that may not, and
# rules that are wrong.
# shellcheck disable=SC2154 # DAEMON_PID, TARGET_name, PORT_name: set by start_server; done ...: by bad_end
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/abuse-lib.sh
. "${top_srcdir:-.}/tests/abuse-lib.sh"
plan 49

me=$(id -u)
my_group=$(id -g)
have_v6=
! grep -q . /proc/net/if_inet6 2>/dev/null || have_v6=1

{
	cat <<END
workers = 2;
drain_timeout = 1.0;
defaults: {
	options: { tcp_defer_accept = 0; };
	log: { connections = false; };
	access: { deny = ( "any" ); };
};
sockets = (
	{ name = "best"; handler = "echo";
	  access: { allow = ( "127.0.0.0/8", "127.0.2.128/25" );
		    deny = ( "127.0.2.0/24", "127.0.2.130", "0.0.0.0/0" ); }; },
	{ name = "denies"; handler = "echo"; access: { deny = ( "127.0.0.2" ); }; },
	{ name = "allows"; handler = "echo"; access: { allow = ( "::ffff:127.0.0.2" ); }; },
	{ name = "inherits"; handler = "daytime"; },
	{ name = "everybody"; handler = "echo"; access: { }; },
	{ name = "me"; handler = "echo"; access: { allow_uids = ( $me ); }; },
	{ name = "notme"; handler = "echo"; access: { deny_uids = ( $me ); }; },
	{ name = "mygroup"; handler = "echo"; access: { allow_gids = ( $my_group ); }; },
	{ name = "userfirst"; handler = "echo";
	  access: { allow_uids = ( $me ); deny_gids = ( $my_group ); }; }
END
	[ -z "$have_v6" ] || cat <<END
	, { name = "dual"; handler = "echo"; access: { allow = ( "127.0.0.0/8" ); deny = ( "127.0.0.2" ); }; }
	, { name = "six"; handler = "echo"; access: { allow = ( "::1" ); deny = ( "::/0" ); }; }
	, { name = "notsix"; handler = "echo"; access: { deny = ( "::/64" ); }; }
END
	echo ');'
} | config
set --
for name in best denies allows inherits everybody; do
	set -- "$@" --tcp "$name=127.0.0.1:0"
done
for name in me notme mygroup userfirst; do
	set -- "$@" --unix "$name=$work/$name.socket"
done
if [ -n "$have_v6" ]; then
	set -- "$@" --tcp 'dual=[::]:0' --tcp 'six=[::1]:0' --tcp 'notsix=[::1]:0'
fi
check 'it starts' start_server "$@" || exit
start_fds=$(fds "$DAEMON_PID")

# lets_in NAME TARGET [FROM], turns_away NAME TARGET [FROM]
one() {
	if [ -n "${2:-}" ]; then bad --from "$2" --send 16 --close "$1" bad; else
		bad --send 16 --close "$1" bad
	fi
}
lets_in() {
	one "$2" "${3:-}"
	is "$1" "$done $in" '1 16'
}
turns_away() {
	one "$2" "${3:-}"
	is "$1" "$done $ended $in" '0 1 0'
}

# ---- by address

lets_in 'allow of a prefix' "$TARGET_best" 127.0.0.1
turns_away 'a longer deny in it' "$TARGET_best" 127.0.2.1
lets_in 'a still longer allow in that' "$TARGET_best" 127.0.2.129
turns_away 'and one address of that denied' "$TARGET_best" 127.0.2.130
lets_in 'its neighbour is not' "$TARGET_best" 127.0.2.131
lets_in 'only deny rules: others may' "$TARGET_denies" 127.0.0.3
turns_away 'only deny rules: this one may not' "$TARGET_denies" 127.0.0.2
lets_in 'only allow rules: this one may, written as IPv4 in IPv6' "$TARGET_allows" 127.0.0.2
turns_away 'only allow rules: others may not' "$TARGET_allows" 127.0.0.3
turns_away 'rules of defaults hold where there are no others' "$TARGET_inherits" 127.0.0.1
lets_in 'an empty group is for everybody' "$TARGET_everybody" 127.0.0.1
if [ -n "$have_v6" ]; then
	lets_in 'dual-stack socket: allow for IPv4' "127.0.0.1:$PORT_dual" 127.0.0.1
	turns_away 'dual-stack socket: deny for IPv4' "127.0.0.1:$PORT_dual" 127.0.0.2
	turns_away 'dual-stack socket: IPv6 has no rule' "$TARGET_dual"
	lets_in 'IPv6: the longer prefix' "$TARGET_six"
	turns_away 'IPv6: a prefix' "$TARGET_notsix"
else
	skip 'IPv6' 'there is no IPv6 here' 5
fi

# ---- by user

lets_in 'AF_UNIX: allow of this user' "$TARGET_me"
turns_away 'AF_UNIX: deny of this user' "$TARGET_notme"
lets_in 'AF_UNIX: allow of this group' "$TARGET_mygroup"
lets_in 'AF_UNIX: a rule for the user comes before one for the group' "$TARGET_userfirst"

# Another user; it has to reach the sockets and the client.
nobody=65534
chmod 711 "$work"
chmod 666 "$work"/*.socket
cp "$abuser" "$work/abuse-client"
as_nobody() {
	setpriv --reuid $nobody --regid $nobody --clear-groups "$work/abuse-client" "$@" </dev/null
}
nobody_gets() {
	as_nobody --send 16 --close "$2" bad | grep "$1"
}
if [ "$me" = 0 ] && command -v setpriv >/dev/null && nobody_gets done=1 "$TARGET_notme" >/dev/null; then
	check 'AF_UNIX: another user where this one is denied' nobody_gets 'done=1 .* in=16 ' "$TARGET_notme"
	check 'AF_UNIX: another user where this one is allowed' nobody_gets 'done=0 .* in=0 ' "$TARGET_me"
	check 'AF_UNIX: another group' nobody_gets 'done=0 .* in=0 ' "$TARGET_mygroup"
	check 'AF_UNIX: neither user nor group have an allow' nobody_gets 'done=0 .* in=0 ' \
		"$TARGET_userfirst"
else
	skip 'AF_UNIX: another user' 'cannot be another user here' 4
fi

# ---- what is said of them

# Each try makes some: all sockets have one rate of such entries.
says_who() {
	one "$1" "${3:-}"
	logged "$2"
}
check 'the log names the address' wait_for 5 says_who "$TARGET_denies" \
	'denies: 127\.0\.0\.2:[0-9]+ was turned away: denied' 127.0.0.2
check 'the log names the user' wait_for 5 says_who "$TARGET_notme" \
	"notme: pid [0-9]+ uid $me was turned away: denied"

case_lines=$(lines)
bad --from 127.0.0.2 "$TARGET_denies" bad 1000
is 'a thousand are turned away' "$ended $in" '1000 0'
check 'the log counts the others' wait_for 5 logged \
	'[0-9]+ more entries of the kind "turned-away" were left out'
at_most 'and has few lines about them' $(($(lines) - case_lines)) 60
check 'STATUS= counts them' wait_for 10 notified '^STATUS=.* 1[0-9][0-9][0-9] turned away'
check 'all descriptors are closed' wait_for 5 has_fds "$DAEMON_PID" "$start_fds"
stop_and_check 'it ends with 0'

# Nobody was let in, who would be counted as well.
cat >"$conf" <<'END'
sockets = ( { name = "none"; handler = "echo"; access: { deny = ( "any" ); }; } );
END
check 'a server that denies all starts' start_server --tcp none=127.0.0.1:0
turns_away 'it does' "$TARGET_none"
check 'STATUS= counts where nobody is let in' wait_for 10 notified '^STATUS=.* 1 turned away'
stop_and_check 'it ends with 0'

# ---- wrong rules

# wrong NAME GROUP REGEX...: what stands in the third line of the file is an error there.
wrong() {
	wrong_name=$1
	printf 'sockets = ( {\n\tname = "echo"; handler = "echo";\n\taccess: { %s };\n} );\n' "$2" |
		config
	shift 2
	"$server" --config "$conf" --check >"$work/check.out" 2>"$work/check.err"
	wrong_status=$?
	for wrong_regex; do
		grep -Eq "simple-server\.conf:3: .*$wrong_regex" "$work/check.err" ||
			wrong_status="$wrong_status, no line like $wrong_regex: $(cat "$work/check.err")"
	done
	is "$wrong_name" "$wrong_status" 78
}
wrong 'bits beyond the length' 'allow = ( "192.0.2.1/24" );' 'access\.allow\.\[0\].*192\.0\.2\.0/24'
wrong 'too long a prefix' 'deny = ( "192.0.2.0/33" );' 'access\.deny\.\[0\]'
wrong 'no address' 'deny = ( "127.0.0.1", "localhost" );' 'access\.deny\.\[1\].*localhost'
wrong 'half an address' 'deny = ( "10.0.0" );' 'access\.deny\.\[0\]'
wrong 'no string' 'allow = ( 10 );' 'access\.allow\.\[0\]'
wrong 'no list' 'allow = "10.0.0.0/8";' 'allow'
wrong 'the same prefix twice, in another form' \
	'allow = ( "10.0.0.0/8" ); deny = ( "::ffff:10.0.0.0/104" );' 'has a rule already.*:3'
wrong 'a user that is no number' 'allow_uids = ( "root" );' 'allow_uids\.\[0\]'
wrong 'a negative user' 'deny_uids = ( -1 );' 'deny_uids\.\[0\]'
wrong 'the same group twice' 'allow_gids = ( 5 ); deny_gids = ( 5 );' 'has a rule already'
wrong 'a misspelled key' 'alow = ( "10.0.0.0/8" );' '"alow".*"allow"'
wrong 'all that is wrong is told' 'allow = ( "x", "10.0.0.1/8" ); deny_uids = ( -1 );' \
	'allow\.\[0\]' 'allow\.\[1\]' 'deny_uids\.\[0\]'
