# SPDX-License-Identifier: MIT
#
# The Markdown of the results that bench.sh has collected: figures, spreads, what is not there.

$1 == "head" { head[$2] = $3 }
$1 == "note" { notes[++n_notes] = $2 }
$1 == "column" {
	if (!($2 in columns))
		tables[++n_tables] = $2
	column[$2, ++columns[$2]] = $3
	name[$2, columns[$2]] = $4
	measured[$3] = 1
	if ($5 != "")
		versions = versions (versions == "" ? "" : ", ") $5
}
$1 == "row" {
	row[$2, ++rows[$2]] = $3
	base[$3] = column[$2, 1]
	what[$3] = $4
	digits[$3] = $5
	judged[$3] = $6
	relation[$3] = $7
	goal[$3] = $8
}
$1 == "cell" {
	value[$2, $3] = $4
	ratio[$2, $3] = $5
	spread[$2, $3] = $6
}

# 12345.6 as 12,346
function number(x, digits, text, whole, rest) {
	text = sprintf("%." digits "f", x)
	sub(/^-0$/, "0", text)
	whole = text
	sub(/\..*/, "", whole)
	rest = substr(text, length(whole) + 1)
	while (match(whole, /[0-9][0-9][0-9][0-9]($|,)/))
		whole = substr(whole, 1, RSTART) "," substr(whole, RSTART + 1)
	return whole rest
}

function times(x) {
	return sprintf(x + 0 < 10 ? "%.2fx" : "%.0fx", x)
}

function figure(id, kind, text) {
	if (!((id, kind) in value))
		return "-"
	text = number(value[id, kind], digits[id])
	return ratio[id, kind] == "" || kind == base[id] ? text : text " (" times(ratio[id, kind]) ")"
}

function verdict(id, subject, x) {
	if (goal[id] == "" || !(subject in measured))
		return ""
	if (!((id, subject) in value))
		return "not measured"
	x = judged[id] == "ratio" ? ratio[id, subject] : value[id, subject]
	return (relation[id] == "<=" ? x + 0 <= goal[id] + 0 : x + 0 >= goal[id] + 0) ? "ok" : "over"
}

function asked(id, subject) {
	if (goal[id] == "" || !(subject in measured))
		return ""
	return relation[id] " " goal[id] (judged[id] == "ratio" ? "x" : "")
}

function heading(table, tail, rule, c) {
	printf "|"
	rule = "|---|"
	for (c = 1; c <= columns[table]; c++) {
		printf " | %s", name[table, c]
		rule = rule "--:|"
	}
	print tail == "" ? " |" : " | goal | |"
	print rule (tail == "" ? "" : "---|---|")
}

function figures(table, subject, r, c, id) {
	heading(table, "goal")
	for (r = 1; r <= rows[table]; r++) {
		id = row[table, r]
		printf "| %s", what[id]
		for (c = 1; c <= columns[table]; c++)
			printf " | %s", figure(id, column[table, c])
		printf " | %s | %s |\n", asked(id, subject), verdict(id, subject)
	}
}

function has_spread(table, id, c) {
	for (c = 1; c <= columns[table]; c++)
		if (spread[id, column[table, c]] != "")
			return 1
	return 0
}

function spreads(table, r, c, id, x) {
	heading(table, "")
	for (r = 1; r <= rows[table]; r++) {
		id = row[table, r]
		if (!has_spread(table, id))
			continue
		printf "| %s", what[id]
		for (c = 1; c <= columns[table]; c++) {
			x = spread[id, column[table, c]]
			printf " | %s", x == "" ? "-" : sprintf("%.0f %%", 100 * x)
		}
		print " |"
	}
}

END {
	subject["clients"] = "simple_client"
	subject["proxies"] = subject["proxy-goals"] = "forward"
	print "Medians of " head["runs"] ", in brackets the median of the ratios to the first column within"
	print "each run."
	print "Machine: " head["machine"] "; " head["kernel"] "; " head["stolen"] " % of the wanted time was stolen by its host."
	print "Versions: " (versions == "" ? "-" : versions) ". Command: `" head["command"] "`"
	for (t = 1; t <= n_tables; t++) {
		if (!rows[tables[t]])
			continue
		print ""
		figures(tables[t], tables[t] in subject ? subject[tables[t]] : candidate)
	}
	if (head["runs"] + 0 >= 4) {
		print "\nSpread: the interquartile range of these ratios (first column: of the figures), as a part"
		print "of their median."
		for (t = 1; t <= n_tables; t++) {
			if (!rows[tables[t]])
				continue
			print ""
			spreads(tables[t])
		}
	}
	if (n_notes)
		print "\nNot measured:\n"
	for (i = 1; i <= n_notes; i++)
		print "- " notes[i]
}
