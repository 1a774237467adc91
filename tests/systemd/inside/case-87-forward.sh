# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# A forwarder by its template units: targets of AF_UNIX and TCP, and a back end that is started with
# the forwarder, later than its clients, and stopped with it, as in simple-server-forward(7).

forward_config() { # forward_config SETTINGS [LINE]
	local directory=${CONFIG%.conf}
	mkdir -p "$directory" 2>/dev/null
	[ -w "$directory" ] || mount -t tmpfs -o mode=755 tmpfs "$directory"
	cat >"$directory/app.conf" <<-END
		${2-}
		sockets = ( { name = "app"; handler = "forward"; settings: { $1 } } );
	END
	chmod 644 "$directory/app.conf"
}

socat=$(command -v socat)
if [ -z "$socat" ]; then
	skip "a forwarder by its template units" "no socat"
else
	# "Up" for systemd long before it listens, as Type=simple is.
	cat >$RUNTIME/check-app.service <<-END
		[Unit]
		StopWhenUnneeded=yes
		[Service]
		ExecStart=/bin/sh -c 'sleep 1; exec $socat TCP-LISTEN:8080,fork,reuseaddr EXEC:cat'
		SuccessExitStatus=143
	END
	add_drop_in simple-proxy@app.socket <<-END
		[Socket]
		ListenStream=127.0.0.1:7000
	END
	add_drop_in simple-proxy@app.service <<-END
		[Unit]
		Requires=check-app.service
		After=check-app.service
	END
	forward_config 'target = "127.0.0.1:8080"; connect_retry = 10.0;'
	ok "the socket starts" systemctl start simple-proxy@app.socket
	is "$(systemctl show -P ActiveState check-app.service)" inactive "the back end does not run"
	ok "the first client is served, and waits for that" serves 127.0.0.1 7000
	is "$(systemctl show -P ActiveState check-app.service)" active "the back end runs"
	ok "the template's path is served too" test -S /run/simple-proxy/app
	ok "the entry names the target" wait_entry TARGET=127.0.0.1:8080
	systemctl stop simple-proxy@app.service
	stopped() { same inactive "$(systemctl show -P ActiveState check-app.service)"; }
	for _ in 1 2 3 4 5 6 7 8 9 10; do stopped && break; sleep 0.2; done
	ok "it stops with the forwarder" stopped
	ok "and both start with the next client" serves 127.0.0.1 7000
	systemctl stop check-app.service
	is "$(systemctl show -P ActiveState simple-proxy@app.service)" inactive \
		"a stop of the back end stops the forwarder"
	ok "until the next client" serves 127.0.0.1 7000
	systemctl stop simple-proxy@app.service
	forward_config 'target = "127.0.0.1:8080"; connect_retry = 10.0;' 'idle_exit = 1.0;'
	for _ in 1 2; do
		ok "with idle_exit: a client starts both" serves 127.0.0.1 7000
		is "$(systemctl show -P ActiveState check-app.service)" active "the back end runs"
		for _ in {1..50}; do stopped && break; sleep 0.2; done
		ok "when nobody is connected it stops by itself" stopped
		is "$(systemctl show -P ActiveState simple-proxy@app.service)" inactive "so does the forwarder"
		is "$(systemctl show -P ActiveState simple-proxy@app.socket)" active "and the socket stays"
	done
	like "$(systemd-analyze security simple-proxy@app.service 2>/dev/null | tail -n 1)" \
		' (0\.[0-9]|1\.0) ' "the exposure is at most 1.0"
	note "$(systemctl show -P StatusText simple-proxy@app.service)"
	systemctl --quiet stop simple-proxy@app.socket simple-proxy@app.service check-app.service
	rm -rf $RUNTIME/simple-proxy@app.* $RUNTIME/check-app.service
	systemctl daemon-reload

	# Without a network, to a path that one group may write to.
	cat >$RUNTIME/check-app.service <<-END
		[Service]
		RuntimeDirectory=check-app
		Group=daemon
		ExecStart=$socat UNIX-LISTEN:/run/check-app/sock,fork,mode=0660 EXEC:cat
	END
	add_drop_in simple-proxy@app.service <<-END
		[Service]
		SupplementaryGroups=daemon
		PrivateNetwork=yes
		RestrictAddressFamilies=
		RestrictAddressFamilies=AF_UNIX
	END
	add_drop_in simple-proxy@app.socket <<-END
		[Socket]
		ListenStream=127.0.0.1:7000
	END
	forward_config 'target = "/run/check-app/sock, localhost:9"; balance = "first";'
	systemctl start check-app.service simple-proxy@app.socket
	until [ -S /run/check-app/sock ]; do sleep 0.05; done
	ok "a path is a target" serves 127.0.0.1 7000
	systemctl --quiet stop simple-proxy@app.socket simple-proxy@app.service check-app.service
	rm -rf $RUNTIME/simple-proxy@app.* $RUNTIME/check-app.service
	systemctl daemon-reload

	# Names, in the sandbox.
	cat >$RUNTIME/check-app.service <<-END
		[Service]
		ExecStart=$socat TCP-LISTEN:8080,fork,reuseaddr,bind=127.0.0.1 EXEC:cat
	END
	add_drop_in simple-proxy@app.socket <<-END
		[Socket]
		ListenStream=127.0.0.1:7000
	END
	forward_config 'target = "localhost:8080"; connect_retry = 5.0;'
	systemctl start check-app.service simple-proxy@app.socket
	ok "a name is a target" serves 127.0.0.1 7000
	systemctl --quiet stop simple-proxy@app.socket simple-proxy@app.service check-app.service
	rm -rf $RUNTIME/simple-proxy@app.* $RUNTIME/check-app.service "${CONFIG%.conf}/app.conf"
fi
