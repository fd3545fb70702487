/*
 * folder_merges.c: the merges of tokenizer.json. Byte-level BPE keeps them. Of SentencePiece's
 * pieces they were made from scores, one for each way of splitting a piece in two, the best piece
 * first; the engine wants the scores (token/spm.h), so the way is gone back, and merges that it
 * does not lead back to are refused.
 */
#include <stdlib.h>
#include <string.h>

#include "folder/folder_tokens.h"
#include "format/checks.h"
#include "format/gguf_value.h"

#define WHERE      EL_FOLDER_TOKENIZER ": "
#define MOST_PIECE 512 /* bytes: pieces are parts of words */

/* The two sides of a merge; false if it is none. */
typedef struct pair {
    const char *left, *right;
    size_t left_len, right_len;
} pair;

static bool take_pair(const json_t *merge, pair *p)
{
    p->left = json_string_value(merge);
    if (p->left) {
        const char *space = p->left[0] ? strchr(p->left + 1, ' ') : NULL;
        if (!space) return false;
        p->left_len = (size_t)(space - p->left);
        p->right = space + 1;
    } else {
        p->left = json_string_value(json_array_get(merge, 0));
        p->right = json_string_value(json_array_get(merge, 1));
        if (!p->left || !p->right || json_array_size(merge) != 2) return false;
        p->left_len = strlen(p->left);
    }
    p->right_len = strlen(p->right);
    return p->left_len > 0 && p->right_len > 0;
}

static edgellm_status bad_merge(const el_folder_tokens *t, size_t i)
{
    return el_fail(t->f->err, EDGELLM_ERR_FORMAT, WHERE "merge %zu is not two texts", i);
}

/* ---- byte-level BPE ----------------------------------------------------------------------- */

static edgellm_status put_merges(const el_folder_tokens *t, const json_t *merges)
{
    const size_t n = json_array_size(merges);
    size_t bytes = 0;
    pair p;
    for (size_t i = 0; i < n; i++) {
        if (!take_pair(json_array_get(merges, i), &p)) return bad_merge(t, i);
        bytes += sizeof(uint64_t) + p.left_len + 1 + p.right_len;
    }
    uint8_t *at = el_folder_put_array(t->f, "tokenizer.ggml.merges", EL_GGUF_STRING, n, bytes);
    for (size_t i = 0; at && i < n; i++) {
        take_pair(json_array_get(merges, i), &p);
        const uint64_t len = p.left_len + 1 + p.right_len;
        memcpy(at, &len, sizeof len);
        at += sizeof len;
        memcpy(at, p.left, p.left_len);
        at[p.left_len] = ' ';
        memcpy(at + p.left_len + 1, p.right, p.right_len);
        at += len;
    }
    return EDGELLM_OK;
}

/* ---- pieces ------------------------------------------------------------------------------- */

/* Of a normal piece. */
typedef struct ways {
    uint32_t first, last, n; /* merges that give it */
} ways;

typedef struct step {     /* a merge of normal pieces */
    uint32_t id;          /* what it gives */
    uint16_t left, right; /* characters of both sides */
} step;

typedef struct pieces {
    const el_folder_tokens *t;
    ways *ways;  /* (t->n) */
    step *steps; /* (n_steps) */
    uint32_t n_steps;
    float *scores; /* (t->n) */
} pieces;

static uint32_t id_of(const el_folder_tokens *t, const char *text, size_t len)
{
    char copy[MOST_PIECE + 1];
    if (len > MOST_PIECE) return EL_TOKEN_NONE;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return el_folder_token_id(t, copy);
}

static bool is_normal(const el_folder_tokens *t, uint32_t id)
{
    return id != EL_TOKEN_NONE && t->list[id].type == EL_TOKEN_NORMAL;
}

static uint16_t characters(const char *text, size_t len)
{
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((uint8_t)text[i] & 0xc0) != 0x80;
    return (uint16_t)n;
}

static edgellm_status take_step(pieces *p, const json_t *merge, size_t i)
{
    const el_folder_tokens *t = p->t;
    char whole[MOST_PIECE + 1];
    pair q;
    if (!take_pair(merge, &q)) return bad_merge(t, i);
    const size_t len = q.left_len + q.right_len;
    uint32_t id = EL_TOKEN_NONE;
    if (len <= MOST_PIECE) {
        memcpy(whole, q.left, q.left_len);
        memcpy(whole + q.left_len, q.right, q.right_len);
        id = id_of(t, whole, len);
    }
    const uint32_t left = id_of(t, q.left, q.left_len), right = id_of(t, q.right, q.right_len);
    if (id == EL_TOKEN_NONE || left == EL_TOKEN_NONE || right == EL_TOKEN_NONE)
        return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                       WHERE "merge %zu: '%.*s' and '%.60s', or what they give, is no token", i,
                       q.left_len > 60 ? 60 : (int)q.left_len, q.left, q.right);
    if (!is_normal(t, id) || !is_normal(t, left) || !is_normal(t, right)) return EDGELLM_OK;
    ways *w = &p->ways[id];
    if (w->n++ == 0) w->first = p->n_steps;
    w->last = p->n_steps;
    p->steps[p->n_steps++] =
        (step){id, characters(q.left, q.left_len), characters(q.right, q.right_len)};
    return EDGELLM_OK;
}

static edgellm_status not_pieces(const pieces *p, const char *text)
{
    return el_fail(p->t->f->err, EDGELLM_ERR_UNSUPPORTED,
                   WHERE
                   "the merges are not those of SentencePiece's pieces with scores, which "
                   "this version needs of a tokenizer with 'byte_fallback': see piece '%.60s'",
                   text);
}

/* What stands there when merging goes on: a character, or a normal piece. */
static bool can_stand(const el_folder_tokens *t, const char *text, size_t len)
{
    const uint32_t id = id_of(t, text, len);
    return id == EL_TOKEN_NONE ? characters(text, len) == 1 : is_normal(t, id);
}

/* Every way of splitting every piece has its merge. */
static edgellm_status check_ways(const pieces *p)
{
    const el_folder_tokens *t = p->t;
    for (uint32_t id = 0; id < t->n; id++) {
        const char *text = t->list[id].text;
        const size_t len = text ? strlen(text) : 0;
        uint32_t n = 0;
        if (!text || !is_normal(t, id)) continue;
        if (len > MOST_PIECE) return not_pieces(p, text);
        for (size_t i = 1; i < len; i++) {
            if (((uint8_t)text[i] & 0xc0) == 0x80) continue;
            n += can_stand(t, text, i) && can_stand(t, text + i, len - i);
        }
        if (n != p->ways[id].n) return not_pieces(p, text);
    }
    return EDGELLM_OK;
}

/* Pieces of one score: their merges are mixed, those of the longest sides first. */
static bool may_mix(const step *before, const step *after)
{
    if (before->left != after->left) return before->left > after->left;
    return before->right >= after->right;
}

/* The earlier the merges, the better the score; the same where they are mixed. */
static edgellm_status score(pieces *p)
{
    uint32_t rank = 0, reach = 0;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const step *s = &p->steps[i];
        const ways *w = &p->ways[s->id];
        if (i > reach)
            rank++;
        else if (i > 0 && s->id != p->steps[i - 1].id && !may_mix(s - 1, s))
            return not_pieces(p, p->t->list[s->id].text);
        if (w->last > reach) reach = w->last;
        p->scores[s->id] = -(float)rank;
    }
    for (uint32_t id = 0; id < p->t->n; id++)
        if (p->ways[id].n == 0) p->scores[id] = -(float)(rank + 1);
    return EDGELLM_OK;
}

static edgellm_status put_scores(pieces *p, const json_t *merges)
{
    const el_folder_tokens *t = p->t;
    for (size_t i = 0; i < json_array_size(merges); i++)
        EL_TRY(take_step(p, json_array_get(merges, i), i));
    EL_TRY(check_ways(p));
    EL_TRY(score(p));
    uint8_t *at = el_folder_put_array(t->f, "tokenizer.ggml.scores", EL_GGUF_F32, t->n,
                                      t->n * sizeof *p->scores);
    if (at) memcpy(at, p->scores, t->n * sizeof *p->scores);
    return EDGELLM_OK;
}

static edgellm_status put_pieces(const el_folder_tokens *t, const json_t *merges)
{
    pieces p = {.t = t};
    edgellm_status status = EDGELLM_ERR_MEMORY;
    p.ways = calloc(t->n, sizeof *p.ways);
    p.steps = calloc(json_array_size(merges) + 1, sizeof *p.steps);
    p.scores = calloc(t->n, sizeof *p.scores);
    if (p.ways && p.steps && p.scores)
        status = put_scores(&p, merges);
    else
        el_fail(t->f->err, status, "out of memory for the vocabulary");
    free(p.ways);
    free(p.steps);
    free(p.scores);
    return status;
}

edgellm_status el_folder_merges(el_folder_tokens *t)
{
    const json_t *merges = json_object_get(t->model, "merges");
    if (!json_is_array(merges) || json_array_size(merges) > EL_MAX_MERGES)
        return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                       WHERE "'merges' of 'model' is no list of up to %u", EL_MAX_MERGES);
    return t->scored ? put_pieces(t, merges) : put_merges(t, merges);
}
