/* SPDX-License-Identifier: MIT */
/*
 * The few elements that a chart is drawn with, as SVG that needs nothing else: no script, no style
 * sheet, no font of its own. The unit is the pixel, from the upper left corner. Whether all could
 * be written is asked of the FILE, at the end. One thread.
 */
#ifndef SIMPLE_CLIENT_SVG_H
#define SIMPLE_CLIENT_SVG_H

#include <stdio.h>

enum svg_anchor { SVG_START, SVG_MIDDLE, SVG_END };

/* How a line is drawn; `dashes` as in stroke-dasharray, "" for none. */
struct svg_stroke {
	const char *color, *dashes;
	double width;
};

struct svg_font {
	const char *color;
	double size;
	int weight; /* 400: regular, 700: bold */
	enum svg_anchor anchor;
};

/* A white ground; `title` is read aloud where the picture cannot be seen. */
void svg_begin(FILE *out, int width, int height, const char *title);
void svg_end(FILE *out);

void svg_line(FILE *out, double x1, double y1, double x2, double y2,
	      const struct svg_stroke *stroke);
void svg_rectangle(FILE *out, double x, double y, double width, double height, const char *color);
void svg_dot(FILE *out, double x, double y, double radius, const char *color);

/* `y` is the base line. The text is UTF-8 without control characters. */
void svg_text(FILE *out, double x, double y, const struct svg_font *font, const char *text);

/* Reads upwards. */
void svg_text_upwards(FILE *out, double x, double y, const struct svg_font *font, const char *text);

/* A line through any number of points. */
void svg_path_begin(FILE *out, const struct svg_stroke *stroke);
void svg_path_point(FILE *out, double x, double y);
void svg_path_end(FILE *out);

#endif
