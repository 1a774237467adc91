# SPDX-License-Identifier: MIT
#
# Reads "RUN SERVER FIGURE...", takes the figure of that column, and writes for each server
# "SERVER MEDIAN RATIO SPREAD LOW HIGH LOW HIGH": the median of its figures; the median of its ratios
# to those of `base` within each run, which cancels what changes from run to run; their interquartile
# range as a part of that median (for `base` that of its figures); the quartiles of the ratios, and
# those of the figures.

{
	value[$2, $1] = $(column + 2) + 0
	if (!($2 in known))
		order[++servers] = $2
	known[$2] = 1
	if ($1 + 0 > last)
		last = $1 + 0
}

function sort(v, n, i, j, x)
{
	for (i = 2; i <= n; i++) {
		x = v[i]
		for (j = i - 1; j > 0 && v[j] > x; j--)
			v[j + 1] = v[j]
		v[j + 1] = x
	}
}

# Between two neighbours where it falls between them.
function quantile(v, n, part, at, i)
{
	at = 1 + (n - 1) * part
	i = int(at)
	return i < n ? v[i] + (at - i) * (v[i + 1] - v[i]) : v[n]
}

function spread(v, n)
{
	return (quantile(v, n, 0.75) - quantile(v, n, 0.25)) / quantile(v, n, 0.5)
}

END {
	for (s = 1; s <= servers; s++) {
		name = order[s]
		n = pairs = 0
		for (run = 0; run <= last; run++) {
			if (!((name, run) in value))
				continue
			figures[++n] = value[name, run]
			if (value[base, run] > 0)
				ratios[++pairs] = value[name, run] / value[base, run]
		}
		sort(figures, n)
		sort(ratios, pairs)
		if (!pairs)
			continue
		print name, quantile(figures, n, 0.5), quantile(ratios, pairs, 0.5),
			name == base ? spread(figures, n) : spread(ratios, pairs),
			quantile(ratios, pairs, 0.25), quantile(ratios, pairs, 0.75),
			quantile(figures, n, 0.25), quantile(figures, n, 0.75)
	}
}
