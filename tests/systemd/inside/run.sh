#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs in the container, as check.service: all cases in order, each from the installed state, with
# one TAP stream in /out/tap. CONFIG, SERVICE and CASES come from check-systemd.sh.
set -u
trap '' PIPE # a client whose server went away must not end the checks
cd /check || exit 1
exec >/out/tap 2>&1

for file in lib clients journal units life; do
	# shellcheck source=/dev/null
	. "./$file.sh"
done

prepare

for file in ./case-*.sh; do
	case=${file#./case-}
	case=${case%.sh}
	[[ -z $CASES || " $CASES " == *" $case "* ]] || continue
	begin_case "$case"
	# shellcheck source=/dev/null
	. "$file"
	end_case
done
finish
