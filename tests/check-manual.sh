#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Holds the manual pages, the shipped files and the program together: whatever is added to one of them
# and forgotten in another fails here.
# shellcheck disable=SC2154 # server, work: set by lib.sh
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
plan 21

page8=$top_srcdir/man/simple-server.8
page5=$top_srcdir/man/simple-server.conf.5
shipped=$top_srcdir/etc/simple-server.conf
catalog=$top_srcdir/systemd/simple-server.catalog
src=$top_srcdir/src
: >"$DAEMON_LOG"

# same NAME FILE FILE: both have the same lines, in any order, and have some.
same() {
	sort "$2" >"$work/same.1"
	sort "$3" >"$work/same.2"
	if [ -s "$2" ] && diff "$work/same.1" "$work/same.2" >"$work/same.diff"; then
		ok "$1"
	else
		not_ok "$1" "< ${2##*/}, > ${3##*/}" "$(head -n 20 "$work/same.diff")"
	fi
}

# section PAGE TITLE: the lines of one section.
section() {
	awk -v title=".Sh $2" '/^\.Sh / { inside = $0 == title; next } inside' "$1"
}

# rows: name, stage, family, directive, capabilities of each row of the table of socket options.
rows() {
	awk '
	function argument(macro) {
		if (!match($0, macro "\\([^)]*\\)"))
			return 0
		found = substr($0, RSTART + length(macro) + 1, RLENGTH - length(macro) - 2)
		gsub(/"/, "", found)
		return 1
	}
	function flush() {
		if (name != "")
			print name "\t" stage "\t" family "\t" directive "\t" needs
	}
	/^[[:blank:]]*[{] *[.]name = "/ { flush(); split($0, part, "\""); name = part[2] }
	name != "" && argument("STAGE") { split(found, part, ", *"); stage = part[1]; family = part[2] }
	name != "" && argument("DIRECTIVE") { directive = found }
	name != "" && argument("NEEDS") { needs = found }
	/^};/ { flush(); exit }' "$src/sockopt.c"
}

# entries: each line of the entries of simple-server.conf(5), with the key in front.
entries() {
	awk '/^\.(It|El|Ss|Sh)/ { key = $2 == "Ic" ? $3 : "" } key != "" { print key "\t" $0 }' "$page5"
}

# capabilities: from lines of a name and a text, each name with each capability in the text.
capabilities() {
	awk -F '\t' '{
		for (text = $2; match(text, /CAP_[A-Z_]+/); text = substr(text, RSTART + RLENGTH))
			print $1 " " substr(text, RSTART, RLENGTH)
	}' | sort -u
}

"$server" --list-options >"$work/list" && grep -v ' group ' "$work/list" >"$work/keys" && rows >"$work/rows" || exit 99

# ---- simple-server.conf(5) and the tables

# The head of an entry is name (type, range unit; default; stage; family).
awk -F '\t' '
	function range_of(column, type, unit, part) {
		if (split(column, part, "[.][.]") == 2) {
			sub(/[|]/, " or ", part[1])
			return ", " part[1] " to " part[2] (unit != "-" ? " " unit : \
				type == "string" ? " characters" : "")
		}
		if (column == "-" || type == "boolean")
			return ""
		gsub(/[|]/, "\" or \"", column)
		return ", \"" column "\""
	}
	BEGIN {
		stages["BEFORE_BIND"] = "checked"; stages["LISTENER"] = "listener"
		stages["INHERITED"] = "inherited"; stages["ACCEPTED"] = "each connection"
		families["INET4"] = "; IPv4"; families["INET6"] = "; IPv6"; families["TCP"] = ""
		families["ANY"] = "; TCP and AF_UNIX"; families["UNIX"] = "; AF_UNIX"
	}
	FNR == NR { tail["options." $1] = "; " stages[$2] families[$3]; next }
	{
		split($0, column, " +")
		text = (column[3] ~ /s$/ ? "list of " : "") column[3] \
			range_of(column[4], column[3], column[5])
		if (column[6] == "required")
			text = text "; required"
		else if (column[6] != "kernel" && column[6] != "-")
			text = text "; default " column[6]
		if (column[7] == "restart")
			text = text "; restart"
		name = column[1]
		sub(/^options\./, "", name)
		print name " (" text tail[column[1]] ")"
	}' "$work/rows" "$work/keys" >"$work/list-options"
sed -n -e 's/\\-/-/g' -e 's/\\(mc/µ/g' -e 's/\\(dq/"/g' -e 's/^\.It Ic \([^ ]*\)$/\1 ()/p' \
	-e 's/^\.It Ic \([^ ]*\) \(Pq \)*\(.*\)/\1 (\3)/p' "$page5" >"$work/heads"
grep -Ev ' \((group|list)[;)]' "$work/heads" >"$work/simple-server.conf.5"
same 'the page has each key with its type, range, unit, default, stage and families' \
	"$work/list-options" "$work/simple-server.conf.5"

grep -E ' \((group|list)[;)]' "$work/heads" | sed 's/ .*//' >"$work/simple-server.conf.5"
printf '%s\n' access defaults limits log options proxy settings sockets timeouts >"$work/groups"
same 'the page has each group' "$work/groups" "$work/simple-server.conf.5"

awk -F '\t' '$4 != "" { print $1 " " $4 }' "$work/rows" >"$work/sockopt.c"
entries | awk -F '\t' 'named { split($2, word, " "); print $1 " " word[2] }
	{ named = $2 == "In the unit:" }' >"$work/simple-server.conf.5"
same 'the page names the directive of each option that has one' \
	"$work/sockopt.c" "$work/simple-server.conf.5"

cut -f 1,5 "$work/rows" | capabilities >"$work/sockopt.c"
entries | capabilities >"$work/simple-server.conf.5"
same 'the page names the capabilities that options need' \
	"$work/sockopt.c" "$work/simple-server.conf.5"

# Each literal display that is a whole file.
awk -v out="$work/example-" '
	/^\.Bd -literal/ { inside = 1; text = ""; next }
	/^\.Ed/ { if (inside && text ~ /sockets = \(/) { n++; printf "%s", text >(out n) }
		inside = 0 }
	inside { gsub(/\\e/, "\\"); text = text $0 "\n" }' "$page5"
check_examples() {
	set -- "$work"/example-*
	[ $# -gt 3 ] || return
	for example; do
		"$server" --config "$example" --check || return
	done
}
check 'the examples of the page pass --check' check_examples

# ---- the shipped file

awk '{ sub(/.*[.]/, "", $1); print $1 }' "$work/keys" >"$work/list-options"
sed -n 's|^[[:blank:]]*\(//\)\{0,1\}\([a-z0-9_]*\) = .*|\2|p' "$shipped" | grep -vx sockets \
	>"$work/simple-server.conf"
same 'the shipped file has each key once, and no other' \
	"$work/list-options" "$work/simple-server.conf"

awk '$6 != "required" && $6 != "kernel" && $6 != "-" { sub(/.*[.]/, "", $1); print $1 " = " $6 ";" }' \
	"$work/keys" >"$work/list-options"
awk 'FNR == NR { known[$1]; next }
	{ sub(/^[[:blank:]]*(\/\/)?/, "") } $1 in known && $2 == "=" { print }' \
	"$work/list-options" "$shipped" >"$work/simple-server.conf"
same 'the shipped file shows the defaults' "$work/list-options" "$work/simple-server.conf"

check 'the shipped file passes --check' "$server" --config "$shipped" --check

# ---- simple-server(8) and the command line

"$server" --help | tr -cs 'a-z-' '\n' | grep '^--[a-z]' | sort -u >"$work/help"
sed -n 's/^\.It Fl \(-[a-z-]*\).*/-\1/p' "$page8" >"$work/simple-server.8"
same 'the page has each option of --help' "$work/help" "$work/simple-server.8"
section "$page8" SYNOPSIS | tr -s ' |' '\n' | sed -n 's/^-[a-z]/-&/p' | sort -u >"$work/synopsis"
same 'its synopsis does as well' "$work/help" "$work/synopsis"

sed -n 's/.*SERVER_EXIT_[A-Z]* = \([0-9]*\).*/\1/p' "$src/server.h" >"$work/server.h"
section "$page8" 'EXIT STATUS' | sed -n 's/^\.It \([0-9]*\)$/\1/p' >"$work/simple-server.8"
same 'the page has each exit status' "$work/server.h" "$work/simple-server.8"

# ---- the journal

sed -n 's/.*{ *"\([a-z-]*\)", *"\([0-9a-f]\{32\}\)".*/\1 \2/p' "$src/journal.c" >"$work/journal.c"
sed -n 's/^\.It Cm \([a-z-]*\) Pq .* \([0-9a-f]\{32\}\)$/\1 \2/p' "$page8" >"$work/simple-server.8"
same 'the page has each kind of entry with its MESSAGE_ID' "$work/journal.c" "$work/simple-server.8"
sed 's/.* //' "$work/journal.c" >"$work/ids"
sed -n 's/^-- \([0-9a-f]*\).*/\1/p' "$catalog" >"$work/simple-server.catalog"
same 'the catalog has each MESSAGE_ID' "$work/ids" "$work/simple-server.catalog"
sed -n 's/.*"\([A-Z][A-Z_]*\)[="].*/\1/p' "$src/journal.c" | sort -u >"$work/journal.c"
section "$page8" JOURNAL | tr -cs 'A-Z_' '\n' | sort -u >"$work/words"
grep -Fxf "$work/words" "$work/journal.c" >"$work/simple-server.8"
same 'the page has each field' "$work/journal.c" "$work/simple-server.8"

awk '/^const char \*(connection_reason|service_verdict)_name/ { inside = 1 } /^}/ { inside = 0 }
	inside { n = split($0, part, "\""); for (i = 2; i <= n; i += 2)
		if (part[i] ~ /^[a-z-]+$/ && part[i] != "admitted") print part[i] }' \
	"$src/connection-end.c" "$src/service-admit.c" >"$work/reasons"
section "$page8" JOURNAL | sed -n 's/^\.It Cm \([a-z-]*\)$/\1/p' >"$work/simple-server.8"
same 'the page has each REASON' "$work/reasons" "$work/simple-server.8"

# ---- what is installed

for file in "$top_srcdir"/etc/* "$top_srcdir"/systemd/*; do
	file=${file##*/}
	echo "${file%.in}"
done >"$work/installed"
section "$page8" FILES | awk '/\\$/ { sub(/ *\\$/, ""); printf "%s ", $0; next } { print }' |
	sed -n 's/^\.It Pa //p' | tr -d , | tr -s ' ' '\n' | sed 's|^/etc/||' |
	grep -v / >"$work/simple-server.8"
same 'the page has each file that is installed' "$work/installed" "$work/simple-server.8"

# ---- both pages

sed -n 's/.*\.name = "\([a-z0-9-]*\)".*/\1/p' "$src"/handlers/*.c >"$work/handlers"
for page in "$page8" "$page5"; do
	while read -r handler; do
		grep -Eq "^\.(It )?Cm $handler( |\$)" "$page" && echo "$handler"
	done <"$work/handlers" >"$work/named"
	same "${page##*/} has each handler" "$work/handlers" "$work/named"
done

date8=$(sed -n 's/^\.Dd //p' "$page8")
is 'the pages have the same date' "$(sed -n 's/^\.Dd //p' "$page5")" "$date8"

# mandoc looks for manuals that are referred to on this machine, beside those in the directory it runs
# in; which of them are installed is nothing that the pages can do about.
lint() {
	(cd "$top_srcdir/man" && mandoc -Tlint -Wstyle "$@" 2>/dev/null) |
		grep -v 'STYLE: referenced manual not found:'
}
for page in simple-server.8 simple-server.conf.5; do
	if command -v mandoc >/dev/null; then
		is "mandoc finds nothing in $page" "$(lint "$page")" ''
	else
		skip "mandoc finds nothing in $page" 'mandoc is not installed'
	fi
done
