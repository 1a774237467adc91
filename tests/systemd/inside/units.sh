# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The units under check and the state that each case starts from: as installed, nothing running.

readonly RUNTIME=/run/systemd/system

of_service() {
	systemctl show -P "$1" simple-server.service
}

of_socket() {
	systemctl show -P "$1" simple-server.socket
}

# Once, before the cases. The installed file is below a /usr or /etc that cannot be written; a copy
# of it is put in its place.
prepare() {
	mkdir -p /run/check
	cp "$CONFIG" /run/check/installed.conf
	cp "$CONFIG" /run/check/simple-server.conf
	mount --bind /run/check/simple-server.conf "$CONFIG"
	journalctl --update-catalog
	find_ordinary_client
	note "$(systemctl --version | head -n 1), Linux $(uname -r), client: ${client:-none}"
}

# Writes the configuration file in place: it is a mount point.
configure() {
	cat >"$CONFIG"
}

# add_drop_in UNIT <text: what `systemctl edit` would do.
add_drop_in() {
	mkdir -p "$RUNTIME/$1.d"
	cat >"$RUNTIME/$1.d/check.conf"
	systemctl daemon-reload
}

# Clients are served a moment before READY=1: the job of a start ends when systemd has it.
wait_ready() {
	systemctl --quiet start simple-server.service
}

start_socket() {
	systemctl start simple-server.socket
}

main_pid() {
	of_service MainPID
}

restore() {
	systemctl kill --signal=CONT systemd-journald.service
	systemctl --quiet stop simple-server.socket simple-server.service \
		'check-*.socket' 'check-*.service'
	rm -rf "$RUNTIME"/simple-server.* "$RUNTIME"/check-*
	cat /run/check/installed.conf >"$CONFIG"
	systemctl daemon-reload
	systemctl reset-failed
}
