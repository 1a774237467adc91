# SPDX-License-Identifier: MIT
#
# The picture of the results that bench.sh has collected: horizontal bars, a panel for each figure
# that there is, the quartiles as lines. An SVG that needs nothing else.

$1 == "head" { head[$2] = $3 }
$1 == "column" && $2 == "servers" {
	server[++servers] = $3
	name[$3] = $4
}
$1 == "cell" {
	value[$2, $3] = $4
	ratio[$2, $3] = $5
	ratio_low[$2, $3] = $7
	ratio_high[$2, $3] = $8
	value_low[$2, $3] = $9
	value_high[$2, $3] = $10
}

function escape(text)
{
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	return text
}

function text(x, y, class, content)
{
	printf "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">%s</text>\n", x, y, class, escape(content)
}

function line(x1, y1, x2, y2, class)
{
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1,
		x2, y2, class
}

function rectangle(x, y, width, height, class)
{
	printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"%s\"/>\n", x, y,
		width, height, class
}

# What the panel shows: ratios to raw-epoll, or the figures themselves.
function figure(id, kind)
{
	return relative ? ratio[id, kind] : value[id, kind]
}

function lower(id, kind)
{
	return relative ? ratio_low[id, kind] : value_low[id, kind]
}

function upper(id, kind)
{
	return relative ? ratio_high[id, kind] : value_high[id, kind]
}

function place(x)
{
	return LEFT + WIDTH * (logarithmic ? log(x / first) / log(last / first) : x / last)
}

# The least of 1, 2, 5, 10, ... that is not below x, for x from 0.1 on.
function round_up(x, power)
{
	for (power = 0.1; power * 10 <= x; power *= 10)
		;
	return x <= power ? power : x <= 2 * power ? 2 * power : x <= 5 * power ? 5 * power : 10 * power
}

# Room for the number at the end of the longest bar.
function scale(id, s, most, highest)
{
	most = highest = 0
	for (s = 1; s <= servers; s++) {
		if (figure(id, server[s]) + 0 > most)
			most = figure(id, server[s]) + 0
		if (upper(id, server[s]) + 0 > highest)
			highest = upper(id, server[s]) + 0
	}
	logarithmic = most > 8 && relative
	first = 0.5
	last = logarithmic ? highest * 2 : highest * 1.12
}

function tick(x, top, bottom, label)
{
	line(place(x), top, place(x), bottom, "grid")
	label = relative ? x "x" : x >= 1000 ? x / 1000 "k" : x
	text(place(x), bottom + 15, "tick", x == 0 ? "0" : label)
}

function ticks(top, bottom, x, step)
{
	if (logarithmic) {
		for (x = first; x <= last; x = round_up(x * 1.001))
			tick(x, top, bottom)
		return
	}
	step = round_up(last / 8)
	for (x = 0; x <= last; x += step)
		tick(x, top, bottom)
}

function number(x)
{
	if (relative)
		return sprintf(x < 10 ? "%.2fx" : "%.0fx", x)
	x = int(x + 0.5)
	return x < 1000 ? x : sprintf("%d,%03d", x / 1000, x % 1000)
}

# The quartiles, with a white edge that shows on dark bars. Where they end, or the bar.
function quartiles(id, kind, y, end, from, to)
{
	if (relative && kind == "raw" || lower(id, kind) == "")
		return end
	from = place(lower(id, kind))
	to = place(upper(id, kind))
	line(from, y, to, y, "edge")
	line(from, y, to, y, "whisker")
	return to > end ? to : end
}

function bar(id, kind, y, x, end, own)
{
	own = kind == candidate ? " own" : ""
	text(LEFT - 10, y + BAR / 2 + 4, "name" own, name[kind])
	x = figure(id, kind)
	if (x == "") {
		text(LEFT + 6, y + BAR / 2 + 4, "faint", "not measured")
		return
	}
	x += 0
	end = place(x)
	rectangle(LEFT, y, end - LEFT, BAR, kind == "raw" ? "base" : own == "" ? "peer" : "candidate")
	end = quartiles(id, kind, y + BAR / 2, end)
	text(end + 7, y + BAR / 2 + 4, "value" own, number(x))
}

function height()
{
	return HEAD + servers * (BAR + GAP) + FOOT
}

# A panel below the last one.
function panel(id, title, subtitle, is_relative, s, y)
{
	relative = is_relative
	scale(id)
	text(MARGIN, top + 14, "title", title)
	text(MARGIN, top + 33, "faint", subtitle (logarithmic ? " Logarithmic." : ""))
	y = top + HEAD
	ticks(y, y + servers * (BAR + GAP))
	for (s = 1; s <= servers; s++)
		bar(id, server[s], y + (s - 1) * (BAR + GAP) + GAP / 2)
	top += height()
}

function style()
{
	print "<style>"
	print "text { font: 12px system-ui, 'DejaVu Sans', Verdana, sans-serif; fill: #24292f }"
	print "text.title { font-size: 15px; font-weight: 600 }"
	print "text.faint, text.tick { fill: #656d76 }"
	print "text.tick { font-size: 11px; text-anchor: middle }"
	print "text.name { text-anchor: end }"
	print "text.own { font-weight: 600 }"
	print "text.value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px }"
	print ".paper { fill: #ffffff }"
	print ".base { fill: #8c959f }"
	print ".candidate { fill: #0b5cad }"
	print ".peer { fill: #c3cbd4 }"
	print ".grid { stroke: #e1e5e9 }"
	print ".edge { stroke: #ffffff; stroke-width: 4 }"
	print ".whisker { stroke: #24292f; stroke-width: 1.5 }"
	print "</style>"
}

BEGIN {
	MARGIN = 24 # around all
	LEFT = 180 # of it are the names
	WIDTH = 600 # of the longest bar, with its number
	BAR = 18
	GAP = 8
	HEAD = 46 # of a panel: title and subtitle
	FOOT = 46 # the numbers of the axis, and room
}

END {
	panels = ((("echo-cpu", "raw") in value) + 2 * (("churn-cpu", "raw") in value))
	top = MARGIN
	width = LEFT + WIDTH + MARGIN
	full = 2 * MARGIN + panels * height() + 10
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" ", width, full
	printf "viewBox=\"0 0 %d %d\" role=\"img\">\n", width, full
	print "<title>" escape(name[candidate]) " beside its peers</title>"
	style()
	rectangle(0, 0, width, full, "paper")
	if (("echo-cpu", "raw") in value)
		panel("echo-cpu", "Server CPU per request",
			"64-byte echo over 64 connections, relative to a bare epoll loop. Less is better.", 1)
	if (("churn-cpu", "raw") in value) {
		panel("churn-cpu", "Server CPU per connection",
			"Connect, 64-byte echo, close, 16 at a time, relative to a bare epoll loop. Less is better.", 1)
		panel("churn-rate", "Connections per second", "In the same run. More is better.", 0)
	}
	text(MARGIN, top + 4, "faint",
		"Medians of " head["runs"] ", interleaved; the lines span the quartiles.")
	text(MARGIN, top + 22, "faint", head["machine"] ", " head["kernel"])
	print "</svg>"
}
