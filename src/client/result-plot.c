/* SPDX-License-Identifier: MIT */
/*
 * The percentile curve. From left to right each decade is a tenth of the requests that are left:
 * 90 %, 99 %, 99.9 %. The time is upwards, from 0; or in decades, where the longest is more than
 * LOG_FROM times the shortest.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "result-private.h"
#include "svg.h"
#include "units.h"
#include "util.h"

#define WIDTH  960
#define HEIGHT 560
#define LEFT   96
#define RIGHT  (WIDTH - 148)
#define TOP    112
#define BOTTOM (HEIGHT - 72)

#define LOG_FROM 100

#define BLACK "#1a1a1a"
#define GREY  "#5c5c5c"

static const struct svg_stroke grid = { "#e4e4e4", "", 1 };
static const struct svg_stroke axis = { "#8c8c8c", "", 1 };

struct curve {
	const char *name;
	const struct histogram *times;
	struct svg_stroke stroke;
};

struct chart {
	FILE *out;
	const struct result *result;
	struct curve curves[2]; /* the upper one first */
	size_t n_curves;
	double decades;   /* from left to right */
	double low, high; /* in ns */
	double step;      /* between the marks, unless in decades */
	bool is_log;
};

static double x_of(const struct chart *chart, double decade)
{
	return LEFT + (RIGHT - LEFT) * decade / chart->decades;
}

static double y_of(const struct chart *chart, double ns)
{
	double part = chart->is_log ? log(fmax(ns, chart->low) / chart->low) /
					      log(chart->high / chart->low)
				    : (ns - chart->low) / (chart->high - chart->low);

	return BOTTOM - (BOTTOM - TOP) * part;
}

/* The largest of 1, 2, 5, 10, 20, ... that is not above `value`, and the next one. */
static double round_below(double value)
{
	double power = pow(10, floor(log10(value) + 1e-9)), digit = value / power + 1e-9;

	return power * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}

static double round_next(double value)
{
	return round_below(value * 2.5);
}

/* At least one decade. The last step has half of the last request's part, to be seen. */
static double decades_of(const struct histogram *times)
{
	return fmax(1, log10(2 * (double)times->count));
}

static void measure(struct chart *chart)
{
	double min = INFINITY, max = 1;

	chart->decades = 1;
	for (size_t i = 0; i < chart->n_curves; i++) {
		const struct histogram *times = chart->curves[i].times;

		min = fmin(min, fmax(1, (double)histogram_at(times, 0)));
		max = fmax(max, (double)histogram_at(times, 1));
		chart->decades = fmax(chart->decades, decades_of(times));
	}
	chart->is_log = max > LOG_FROM * min;
	if (chart->is_log) {
		chart->low = round_below(min);
		chart->high = round_below(max);
		if (chart->high < max)
			chart->high = round_next(chart->high);
	} else {
		chart->step = fmax(1, round_below(max / 4));
		chart->low = 0;
		chart->high = chart->step * ceil(max * 1.02 / chart->step);
	}
}

/* "2.00 ms" as "2 ms". */
static const char *tick_text(char out[UNITS_MAX], double ns)
{
	char *blank, *end;

	if (!(ns > 0))
		return strcpy(out, "0");
	units_time(out, ns);
	blank = strchr(out, ' ');
	if (!memchr(out, '.', (size_t)(blank - out)))
		return out;
	end = blank;
	while (end[-1] == '0')
		end--;
	if (end[-1] == '.')
		end--;
	memmove(end, blank, strlen(blank) + 1);
	return out;
}

static void draw_time_tick(const struct chart *chart, double ns)
{
	static const struct svg_font font = { GREY, 12, 400, SVG_END };
	double y = y_of(chart, ns);
	char text[UNITS_MAX];

	svg_line(chart->out, LEFT, y, RIGHT, y, &grid);
	svg_text(chart->out, LEFT - 10, y + 4, &font, tick_text(text, ns));
}

static void draw_times(const struct chart *chart)
{
	static const struct svg_font font = { GREY, 13, 400, SVG_MIDDLE };
	bool is_probe = result_mode(chart->result->plan->mode)->latency == LATENCY_PROBE;
	bool only_decades = chart->high / chart->low > 3000;
	double limit = chart->high * (1 + 1e-9);
	char text[UNITS_MAX];

	if (!chart->is_log)
		for (double ns = 0; ns <= limit; ns += chart->step)
			draw_time_tick(chart, ns);
	else
		for (double ns = chart->low; ns <= limit; ns = round_next(ns))
			if (!only_decades || fabs(log10(ns) - round(log10(ns))) < 1e-6)
				draw_time_tick(chart, ns);
	snprintf(text, sizeof(text), "latency%s%s", is_probe ? " of the probe" : "",
		 chart->is_log ? ", logarithmic" : "");
	svg_text_upwards(chart->out, 26, (TOP + BOTTOM) / 2.0, &font, text);
}

static void draw_part_tick(const struct chart *chart, double decade, const char *text)
{
	static const struct svg_font font = { GREY, 12, 400, SVG_MIDDLE };
	double x = x_of(chart, decade);

	svg_line(chart->out, x, TOP, x, BOTTOM, &grid);
	svg_line(chart->out, x, BOTTOM, x, BOTTOM + 5, &axis);
	svg_text(chart->out, x, BOTTOM + 21, &font, text);
}

static void draw_parts(const struct chart *chart)
{
	static const struct svg_font font = { GREY, 13, 400, SVG_MIDDLE };
	char text[UNITS_MAX];

	draw_part_tick(chart, 0, "0 %");
	draw_part_tick(chart, log10(2), "50 %");
	for (int decade = 1; decade <= chart->decades; decade++) {
		snprintf(text, sizeof(text), "%.*f %%", decade > 2 ? decade - 2 : 0,
			 100 - pow(10, 2 - decade));
		draw_part_tick(chart, decade, text);
	}
	snprintf(text, sizeof(text), "percentile of the %ss",
		 result_mode(chart->result->plan->mode)->unit);
	svg_text(chart->out, (LEFT + RIGHT) / 2.0, BOTTOM + 50, &font, text);
	svg_line(chart->out, LEFT, BOTTOM, RIGHT, BOTTOM, &axis);
}

/* One point where the value changes and one before it, so that a step stays a step. */
static void draw_curve(const struct chart *chart, const struct curve *curve)
{
	double decades = decades_of(curve->times), end = x_of(chart, decades);
	double y = y_of(chart, (double)histogram_at(curve->times, 0));

	svg_path_begin(chart->out, &curve->stroke);
	svg_path_point(chart->out, LEFT, y);
	for (double x = LEFT + 1; x < end; x++) {
		double decade = (x - LEFT) / (RIGHT - LEFT) * chart->decades;
		double next = y_of(chart, (double)histogram_at(curve->times, 1 - pow(10, -decade)));

		if (fabs(next - y) >= 0.05) {
			svg_path_point(chart->out, x - 1, y);
			svg_path_point(chart->out, x, next);
			y = next;
		}
	}
	svg_path_point(chart->out, end, y_of(chart, (double)histogram_at(curve->times, 1)));
	svg_path_end(chart->out);
	svg_dot(chart->out, end, y_of(chart, (double)histogram_at(curve->times, 1)), 3.5,
		curve->stroke.color);
}

static const struct {
	const char *name;
	double part;
} values[] = { { "max", 1 }, { "p99.9", 0.999 }, { "p99", 0.99 }, { "p50", 0.5 } };

#define LINE_HEIGHT  16
#define LABEL_HEIGHT ((int)(1 + ARRAY_SIZE(values)) * LINE_HEIGHT)

/* The name of the curve and its values, from `top` downwards. */
static void draw_label(const struct chart *chart, const struct curve *curve, double top)
{
	const struct svg_font name = { curve->stroke.color, 13, 700, SVG_START };
	const struct svg_font part = { GREY, 12, 400, SVG_START };
	const struct svg_font time = { BLACK, 12, 400, SVG_END };
	double y = top + 12;
	char text[UNITS_MAX];

	svg_text(chart->out, RIGHT + 18, y, &name, curve->name);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		y += LINE_HEIGHT;
		svg_text(chart->out, RIGHT + 18, y, &part, values[i].name);
		units_time(text, (double)histogram_at(curve->times, values[i].part));
		svg_text(chart->out, RIGHT + 124, y, &time, text);
	}
}

/* Each beside the end of its curve, as far as the others leave room. */
static void draw_labels(const struct chart *chart)
{
	double top = TOP - LINE_HEIGHT;

	for (size_t i = 0; i < chart->n_curves; i++) {
		const struct curve *curve = &chart->curves[i];
		double end = y_of(chart, (double)histogram_at(curve->times, 1));
		double lowest = BOTTOM - (double)(chart->n_curves - i) * (LABEL_HEIGHT + 8);

		top = fmax(top, fmin(end - LINE_HEIGHT, lowest));
		draw_label(chart, curve, top);
		top += LABEL_HEIGHT + 8;
	}
}

static void draw_title(const struct chart *chart)
{
	const struct result *result = chart->result;
	static const struct svg_font font = { GREY, 13, 400, SVG_START };
	char text[RESULT_TEXT_MAX], count[UNITS_MAX], rate[UNITS_MAX], time[UNITS_MAX];
	struct svg_font title = { BLACK, 19, 700, SVG_START };

	result_title(text, result->plan);
	title.size = fmin(title.size, 1500.0 / units_width(text));
	svg_text(chart->out, LEFT, 36, &title, text);
	svg_text(chart->out, LEFT, 60, &font, result_manner(text, result->plan));
	snprintf(text, sizeof(text), "%s in %s, %s/s",
		 units_of(count, result->total.requests, result_mode(result->plan->mode)->unit),
		 units_time(time, (double)result->total.window_ns),
		 units_number(rate, result_per_second(result, result->total.requests)));
	svg_text(chart->out, LEFT, 80, &font, text);
}

static void draw_nothing(const struct chart *chart)
{
	static const struct svg_font font = { GREY, 15, 400, SVG_MIDDLE };

	svg_line(chart->out, LEFT, BOTTOM, RIGHT, BOTTOM, &axis);
	svg_text(chart->out, (LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0, &font,
		 "no latency was measured");
}

static void add_curve(struct chart *chart, const char *name, const struct histogram *times,
		      const struct svg_stroke *stroke)
{
	if (times->count > 0)
		chart->curves[chart->n_curves++] = (struct curve){ name, times, *stroke };
}

static void collect(struct chart *chart)
{
	static const struct svg_stroke blue = { "#1f5fb4", "", 2.2 };
	static const struct svg_stroke orange = { "#c65d07", "7 4", 2.2 };
	const struct result *result = chart->result;
	enum result_latency latency = result_mode(result->plan->mode)->latency;

	if (latency == LATENCY_NONE)
		return;
	add_curve(chart,
		  result_is_open_loop(result) ? "corrected"
		  : latency == LATENCY_PROBE  ? "probe"
					      : "latency",
		  &result->total.corrected, &blue);
	if (result_is_open_loop(result))
		add_curve(chart, "uncorrected", &result->total.uncorrected, &orange);
}

void result_print_plot(const struct result *result, FILE *out)
{
	struct chart chart = { .out = out, .result = result };
	char title[RESULT_TEXT_MAX];

	collect(&chart);
	svg_begin(out, WIDTH, HEIGHT, result_title(title, result->plan));
	draw_title(&chart);
	if (chart.n_curves == 0) {
		draw_nothing(&chart);
	} else {
		measure(&chart);
		draw_times(&chart);
		draw_parts(&chart);
		for (size_t i = chart.n_curves; i-- > 0;)
			draw_curve(&chart, &chart.curves[i]);
		draw_labels(&chart);
	}
	svg_end(out);
}
