#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Holds the layers of src/ by reading the #include lines: each file uses only what is lower than itself
# or stands beside it, and two that stand beside each other never use one another in a circle.
set -u
cd "${top_srcdir:-$(dirname "$0")/..}/src" || exit 99

# One layer in each line, the lowest first.
layers='
simple-server util list syscall crash
blob buffer ledger loop timer sockopt journal report pace peer text access sources proxy pipes
activation
handover
keeper
grammar scan source pool guard baseline
settings settings-table settings-value settings-complain settings-access settings-check settings-keys settings-load settings-dump settings-diff
handler module
service listener
place
connection
acceptor
worker
status
succession
watchdog
setup
reload
server
main
'

# What the headers of a library begin with, and the modules that may know the library.
libraries='
systemd/ activation
libconfig.h settings-value settings-complain settings-access settings-check settings-keys settings-load
'

# listed WORD LIST...
listed() {
	word=$1
	shift
	case " $* " in *" $word "*) return 0 ;; esac
	return 1
}

count=0
# result DESCRIPTION FINDINGS: passes when there are no findings.
result() {
	count=$((count + 1))
	if [ -z "$2" ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}

# Files that are one module: the parts of a connection, with the header that they share, and so on.
module() {
	basename "${1%.[ch]}" | sed 's/^connection-.*/connection/; s/^listener-.*/listener/; s/^module-.*/module/; s/^server-.*/server/; s/^service-.*/service/; s/^forward-.*/forward/'
}

# "user used" for each own header that a core file includes, by module names; config.h is nobody's.
edges() {
	sed -n 's|^[[:blank:]]*#[[:blank:]]*include[[:blank:]]*"\([^"]*\.h\)".*|\1|p' "$1" |
		while read -r used; do
			[ "$used" = config.h ] || echo "$(module "$1") $(module "$used")"
		done
}

core=$(for file in *.[ch]; do edges "$file"; done | awk '$1 != $2' | sort -u)

echo 1..6

result 'every module has a layer' "$(
	for file in *.[ch]; do
		# shellcheck disable=SC2086 # a list of words
		listed "$(module "$file")" $layers || echo "src/$file is in no layer"
	done
)"

result 'no module uses a higher one' "$(
	printf '%s\n=\n%s\n' "$layers" "$core" | awk '
	$1 == "=" { edges = 1; next }
	!edges { for (i = 1; i <= NF; i++) layer[$i] = NR; next }
	NF == 2 && !($2 in layer) { print $1 " includes " $2 ".h, which is in no layer" }
	NF == 2 && layer[$2] > layer[$1] { print $1 " includes " $2 ".h, which is above it" }'
)"

result 'no modules use each other in a circle' "$(printf '%s\n' "$core" | tsort 2>&1 >/dev/null)"

# A handler may have parts of its own: forward.c and forward-*.[ch] are one module.
result 'handlers use the public header alone' "$(
	for file in handlers/*.[ch]; do
		[ -e "$file" ] || continue
		edges "$file" | awk -v file="src/$file" '
		$2 != "simple-server" && $1 != $2 { print file " includes " $2 ".h" }'
	done
)"

result 'the public header includes none of ours' "$(edges simple-server.h)"

result 'each library is known only where it belongs' "$(
	printf '%s\n' "$libraries" | while read -r header modules; do
		[ -n "$header" ] || continue
		grep -lE "^[[:blank:]]*#[[:blank:]]*include[[:blank:]]*<$header" -- *.[ch] handlers/*.[ch] |
			while read -r file; do
				# shellcheck disable=SC2086 # a list of words
				listed "$(basename "${file%.[ch]}")" $modules ||
					echo "src/$file includes <$header"
			done
	done
)"
