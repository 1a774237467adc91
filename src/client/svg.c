/* SPDX-License-Identifier: MIT */
#include "svg.h"

static void escape(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			fputs("&amp;", out);
		else if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '>')
			fputs("&gt;", out);
		else
			fputc(*text, out);
	}
}

void svg_begin(FILE *out, int width, int height, const char *title)
{
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\""
		" viewBox=\"0 0 %d %d\" role=\"img\""
		" font-family=\"'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif\">\n"
		"<title>",
		width, height, width, height);
	escape(out, title);
	fputs("</title>\n", out);
	svg_rectangle(out, 0, 0, width, height, "#ffffff");
}

void svg_end(FILE *out)
{
	fputs("</svg>\n", out);
}

static void print_stroke(FILE *out, const struct svg_stroke *stroke)
{
	fprintf(out, " stroke=\"%s\" stroke-width=\"%g\"", stroke->color, stroke->width);
	if (*stroke->dashes)
		fprintf(out, " stroke-dasharray=\"%s\"", stroke->dashes);
}

void svg_line(FILE *out, double x1, double y1, double x2, double y2,
	      const struct svg_stroke *stroke)
{
	fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"", x1, y1, x2, y2);
	print_stroke(out, stroke);
	fputs("/>\n", out);
}

void svg_rectangle(FILE *out, double x, double y, double width, double height, const char *color)
{
	fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
		x, y, width, height, color);
}

void svg_dot(FILE *out, double x, double y, double radius, const char *color)
{
	fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n", x, y, radius,
		color);
}

static void print_text(FILE *out, double x, double y, const char *transform,
		       const struct svg_font *font, const char *text)
{
	static const char *const anchors[] = { "start", "middle", "end" };

	fprintf(out,
		"<text x=\"%.1f\" y=\"%.1f\"%s fill=\"%s\" font-size=\"%g\" font-weight=\"%d\""
		" text-anchor=\"%s\">",
		x, y, transform, font->color, font->size, font->weight, anchors[font->anchor]);
	escape(out, text);
	fputs("</text>\n", out);
}

void svg_text(FILE *out, double x, double y, const struct svg_font *font, const char *text)
{
	print_text(out, x, y, "", font, text);
}

void svg_text_upwards(FILE *out, double x, double y, const struct svg_font *font, const char *text)
{
	char transform[64];

	snprintf(transform, sizeof(transform), " transform=\"rotate(-90 %.1f %.1f)\"", x, y);
	print_text(out, x, y, transform, font, text);
}

void svg_path_begin(FILE *out, const struct svg_stroke *stroke)
{
	fputs("<polyline fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\"", out);
	print_stroke(out, stroke);
	fputs(" points=\"", out);
}

void svg_path_point(FILE *out, double x, double y)
{
	fprintf(out, "%.1f,%.1f ", x, y);
}

void svg_path_end(FILE *out)
{
	fputs("\"/>\n", out);
}
