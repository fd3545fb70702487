/* manifest.c: JSON by hand: a text that grows, and the escaping of one untrusted string. */
#include "quant/manifest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/checks.h"

static const uint32_t groups[4] = {0, 32, 64, 128};
static const char *const kinds[EL_SCALE_KINDS] = {"f16", "byte"};

void el_codec_count(el_codec_counts *counts, el_codec codec, el_scale_kind kind, uint32_t group)
{
    for (int g = 0; g < 4; g++) {
        if (groups[g] == group) counts->n[codec][kind][g]++;
    }
}

static bool reserve(el_manifest *t, size_t more)
{
    if (t->failed) return false;
    if (t->room - t->used > more) return true;
    size_t room = 2 * t->room + more + 256;
    char *bytes = realloc(t->bytes, room);
    if (!bytes) {
        t->failed = true;
        return false;
    }
    t->bytes = bytes;
    t->room = room;
    return true;
}

void el_manifest_add(el_manifest *t, const char *format, ...)
{
    char piece[256]; /* longer than any format below with its numbers and fixed names */
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof piece) {
        t->failed = true;
        return;
    }
    if (!reserve(t, (size_t)n)) return;
    memcpy(t->bytes + t->used, piece, (size_t)n + 1);
    t->used += (size_t)n;
}

/* Bytes of the UTF-8 character at `s`; 0 if there is none. */
static size_t character_bytes(const char *s)
{
    for (size_t n = 1; n <= 4; n++) {
        if (el_text_is_valid(s, n)) return n;
        if (!s[n]) break;
    }
    return 0;
}

void el_manifest_add_string(el_manifest *t, const char *s)
{
    el_manifest_add(t, "\"");
    while (*s) {
        size_t n = character_bytes(s);
        if (n == 0) {
            el_manifest_add(t, "\\ufffd");
            n = 1;
        } else if (n == 1 && ((unsigned char)*s < 0x20 || *s == 0x7f)) {
            el_manifest_add(t, "\\u%04x", (unsigned)*s);
        } else {
            el_manifest_add(t, "%s%.*s", *s == '"' || *s == '\\' ? "\\" : "", (int)n, s);
        }
        s += n;
    }
    el_manifest_add(t, "\"");
}

/* Of a folder that is named with a slash at the end, that stays. */
static const char *last_part(const char *path)
{
    const char *at = path + strlen(path);
    while (at > path && at[-1] == '/')
        at--;
    while (at > path && at[-1] != '/')
        at--;
    return at;
}

static void add_bits(el_manifest *t, const char *name, unsigned bits)
{
    if (bits == EL_ROUND_TERNARY)
        el_manifest_add(t, "\"%s\":1.6,", name);
    else
        el_manifest_add(t, "\"%s\":%u,", name, bits);
}

static void add_options(el_manifest *t, const el_quantize_options *o)
{
    el_manifest_add(t, "\"options\":{");
    add_bits(t, "bits", o->bits);
    add_bits(t, "embedding_bits", o->embedding_bits);
    el_manifest_add(t, "\"group\":%u,\"embedding_group\":%u,", o->group, o->embedding_group);
    el_manifest_add(t, "\"offset\":%s,\"scales\":\"%s\",\"calibrate\":\"none\"},",
                    o->offset ? "true" : "false", kinds[o->scales]);
}

/* One member per combination that occurs, such as "o4/f16/32": 210. */
static void add_counts(el_manifest *t, const el_codec_counts *counts)
{
    const char *comma = "";
    el_manifest_add(t, "\"tensors\":{");
    for (int c = 0; c < EL_CODEC_COUNT; c++) {
        for (int k = 0; k < EL_SCALE_KINDS; k++) {
            for (int g = 0; g < 4; g++) {
                if (!counts->n[c][k][g]) continue;
                el_manifest_add(t, "%s\"%s", comma, el_codecs[c].name);
                if (c != EL_CODEC_F32) el_manifest_add(t, "/%s/", kinds[k]);
                if (c != EL_CODEC_F32 && groups[g]) el_manifest_add(t, "%u", groups[g]);
                if (c != EL_CODEC_F32 && !groups[g]) el_manifest_add(t, "row");
                el_manifest_add(t, "\":%u", counts->n[c][k][g]);
                comma = ",";
            }
        }
    }
    el_manifest_add(t, "}");
}

void el_manifest_begin(el_manifest *t, const char *source, uint64_t source_bytes, uint32_t crc)
{
    *t = (el_manifest){0};
    el_manifest_add(t, "{\"tool\":\"edgellm %s\",\"source\":{\"file\":", edgellm_version());
    el_manifest_add_string(t, last_part(source));
    el_manifest_add(t, ",\"bytes\":%llu,\"crc32\":\"%08x\"},", (unsigned long long)source_bytes,
                    crc);
}

char *el_manifest_end(el_manifest *t, const el_codec_counts *counts)
{
    add_counts(t, counts);
    el_manifest_add(t, "}");
    if (!t->failed) return t->bytes;
    free(t->bytes);
    return NULL;
}

char *el_manifest_build(const char *source, uint64_t source_bytes, uint32_t crc,
                        const el_quantize_options *options, const el_codec_counts *counts)
{
    el_manifest t;
    el_manifest_begin(&t, source, source_bytes, crc);
    add_options(&t, options);
    return el_manifest_end(&t, counts);
}
