/* calibrate_text.c: see calibrate_text.h. */
#include "offline/calibrate_text.h"

#include <stdlib.h>
#include <string.h>

#include "format/vocab.h"
#include "offline/calibrate_seeds.h"
#include "sample/random.h"

enum {
    PHRASE = 6,       /* tokens in a row: a token whose phrase stood in the text before repeats */
    STALE = 64,       /* a text with so many points goes in circles: 2 for a token that repeats, */
                      /* 1 off for one that does not */
    ASK = 32,         /* tokens between two questions whether to go on */
    RANDOM_WORDS = 2, /* at most */
    RANDOM_TRIES = 1000, /* to find a token that is text */
    ODD_TOKENS = 32,     /* from an odd word to the next, on average */
};

/* ---- chance -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t state = a;
    state = el_random_next(&state) + b;
    state = el_random_next(&state) + c;
    return el_random_next(&state);
}

/* 0 .. n-1 */
static uint32_t below(el_writer *w, uint32_t n)
{
    return (uint32_t)((el_random_next(&w->random) >> 32) * n >> 32);
}

/* What the model holds possible, as often as it does: nothing is cut off and nothing punished.
 * Likelier text is fluent, but knows few of the words and turns that the file will meet. */
static edgellm_status seed_sampler(el_writer *w, edgellm_error *err)
{
    edgellm_sampler_options o = edgellm_sampler_defaults();
    o.temperature = 1;
    o.top_k = 0;
    o.top_p = 1;
    o.min_p = 0;
    o.repeat_penalty = 1;
    o.seed = el_random_next(&w->random);
    return edgellm_session_set_sampler(w->session, &o, err);
}

/* ---- going on ------------------------------------------------------------------------------ */

static edgellm_status draw(el_writer *w, uint32_t *token, edgellm_error *err)
{
    const uint32_t known = edgellm_session_position(w->session), last = w->count - 1;
    if (known < last)
        EL_TRY(edgellm_session_eval(w->session, w->tokens + known, last - known, NULL, err));
    EL_TRY(el_together_eval(w->together, w->session, w->tokens[last], err));
    *token = edgellm_session_sample(w->session);
    return EDGELLM_OK;
}

/* Do the last PHRASE tokens stand somewhere before too? They may overlap: a short period. */
static bool repeats(const el_writer *w)
{
    if (w->count <= PHRASE) return false;
    const uint32_t *last = w->tokens + w->count - PHRASE;
    for (const uint32_t *at = w->tokens; at < last; at++)
        if (at[PHRASE - 1] == last[PHRASE - 1] && memcmp(at, last, PHRASE * sizeof *at) == 0)
            return true;
    return false;
}

/* To be asked after each token drawn. A third of new tokens are not enough for a text to live on,
 * half of them are. */
static bool goes_in_circles(el_writer *w)
{
    if (repeats(w))
        w->stale += 2;
    else if (w->stale > 0)
        w->stale--;
    if (w->stale == 0) w->fresh = w->count;
    return w->stale >= STALE;
}

/* Names, codes and marks that nobody has seen before fill real texts, and that a model goes on with
 * them is what coarse weights lose first. What it writes by itself has none. */
static void put_odd_word(el_writer *w)
{
    for (uint32_t i = 0; i < w->odd_tokens && w->count < w->room; i++)
        w->tokens[w->count++] = w->odd[i];
    w->odd_next = w->count + 1 + below(w, 2 * ODD_TOKENS);
}

/*
 * Appends drawn tokens until one ends the text (w->end, not appended), the room is full, or the
 * text goes in circles: then only up to where that began, and *stuck.
 */
static edgellm_status go_on(el_writer *w, bool *stuck, edgellm_error *err)
{
    w->end = EL_TOKEN_NONE;
    *stuck = false;
    if (w->stale == 0) w->fresh = w->count;
    while (w->count < w->room && !*stuck) {
        uint32_t token = 0;
        if (w->count % ASK == 0 && !w->go_on(w->go_on_context))
            return el_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        EL_TRY(draw(w, &token, err));
        if (edgellm_is_end(w->engine, token)) {
            w->end = token;
            break;
        }
        w->tokens[w->count++] = token;
        *stuck = goes_in_circles(w);
        if (w->odd_tokens && w->count >= w->odd_next) put_odd_word(w);
    }
    if (*stuck) w->count = w->fresh;
    return EDGELLM_OK;
}

/* ---- conversations ------------------------------------------------------------------------- */

/* Appends messages as laid out, without the first `skip` and the last `drop` tokens: 0 or as many
 * as close a turn. */
static edgellm_status put(el_writer *w, const edgellm_message *messages, size_t n, unsigned flags,
                          size_t skip, size_t drop, edgellm_error *err)
{
    const size_t room = w->length + w->closing - w->count;
    uint32_t *at = w->tokens + w->count;
    size_t count = 0;
    EL_TRY(edgellm_chat_prompt(w->engine, messages, n, flags, at, room, &count, err));
    count -= drop;
    if (count > room) count = room;
    memmove(at, at + skip, (count - skip) * sizeof *at);
    w->count += (uint32_t)(count - skip);
    return EDGELLM_OK;
}

/* The user's first message up to where it is to be gone on with; without a system message the
 * layout of a later one, which has none. */
static edgellm_status open_conversation(el_writer *w, const char *opening, bool system,
                                        edgellm_error *err)
{
    const edgellm_message user = {"user", opening};
    if (system) return put(w, &user, 1, 0, 0, w->closing, err);
    return put(w, &user, 1, EDGELLM_CHAT_CONTINUE, w->closing, w->closing, err);
}

/* The turn under way ends, the other one's begins. */
static edgellm_status next_turn(el_writer *w, bool user, edgellm_error *err)
{
    const edgellm_message nothing = {"user", ""};
    if (user) return put(w, &nothing, 1, EDGELLM_CHAT_CONTINUE, 0, w->closing, err);
    return put(w, NULL, 0, EDGELLM_CHAT_CONTINUE | EDGELLM_CHAT_OPEN_ANSWER, 0, 0, err);
}

typedef struct way way;

static edgellm_status converse(el_writer *w, const way *how, const char *opening,
                               edgellm_error *err);
static edgellm_status write_on(el_writer *w, const way *how, const char *opening,
                               edgellm_error *err);

/* The ways to write, each with its share of the texts. */
struct way {
    edgellm_status (*write)(el_writer *w, const way *how, const char *opening, edgellm_error *err);
    const el_seed_list *openings; /* NULL: random words */
    uint32_t share;
    bool chat;   /* only for models that know conversations */
    bool whole;  /* the opening is a whole message */
    bool system; /* with the model's own system message, if it has one */
    bool crlf;   /* lines end in two bytes */
    bool odd;    /* a word that the model cannot know stands in it again and again */
};

static const way ways[] = {
    {converse, &el_seeds_questions, 15, .chat = true, .whole = true, .system = true},
    {converse, &el_seeds_questions, 7, .chat = true, .whole = true},
    {converse, &el_seeds_halves, 8, .chat = true, .system = true},
    {converse, &el_seeds_halves, 4, .chat = true},
    {write_on, &el_seeds_openings, 34, .crlf = false},
    {write_on, &el_seeds_openings, 10, .odd = true},
    {write_on, &el_seeds_openings, 9, .crlf = true},
    {write_on, NULL, 11, .crlf = false},
    {write_on, NULL, 2, .crlf = true},
};

static edgellm_status converse(el_writer *w, const way *how, const char *opening,
                               edgellm_error *err)
{
    bool user = true, stuck = false;
    EL_TRY(open_conversation(w, opening, how->system, err));
    w->end = w->turn_end;
    if (!how->whole) EL_TRY(go_on(w, &stuck, err));
    while (w->end == w->turn_end && w->count < w->room) {
        user = !user;
        EL_TRY(next_turn(w, user, err));
        EL_TRY(go_on(w, &stuck, err));
    }
    if (stuck) EL_TRY(put(w, NULL, 0, EDGELLM_CHAT_CONTINUE, 0, 0, err));
    return EDGELLM_OK;
}

/* ---- texts --------------------------------------------------------------------------------- */

/* Characters, and whole ones as far as a first byte can tell? */
static bool is_text(const edgellm_engine *engine, uint32_t token)
{
    char text[EDGELLM_STREAM_BYTES];
    edgellm_stream stream = {{0}, 0};
    const size_t len = edgellm_stream_push(engine, &stream, token, text);
    return len > 0 && stream.count == 0 && ((unsigned char)text[0] & 0xc0) != 0x80;
}

static uint32_t random_word(el_writer *w)
{
    uint32_t token = 0;
    for (int i = 0; i < RANDOM_TRIES; i++) {
        token = below(w, w->vocab);
        if (is_text(w->engine, token)) break;
    }
    return token;
}

static void choose_odd_word(el_writer *w)
{
    w->odd_tokens = 1 + below(w, EL_WRITER_ODD_MAX);
    for (uint32_t i = 0; i < w->odd_tokens; i++)
        w->odd[i] = random_word(w);
    w->odd_next = w->count + below(w, ODD_TOKENS);
}

/* An opening that the vocabulary has no bytes for becomes random words too. */
static edgellm_status open_text(el_writer *w, const char *opening, edgellm_error *err)
{
    const char *text = opening != NULL ? opening : "";
    const size_t len = strlen(text);
    size_t bos = 0, count = 0;
    EL_TRY(edgellm_tokenize(w->engine, "", 0, EDGELLM_TOKENIZE_BOS, NULL, 0, &bos, err));
    EL_TRY(edgellm_tokenize(w->engine, text, len, EDGELLM_TOKENIZE_BOS, w->tokens, w->length,
                            &count, err));
    w->count = count < w->length ? (uint32_t)count : w->length;
    if (count > bos) return EDGELLM_OK;
    for (uint32_t n = 1 + below(w, RANDOM_WORDS); n > 0 && w->count < w->length; n--)
        w->tokens[w->count++] = random_word(w);
    return EDGELLM_OK;
}

/* Copies text with line ends of two bytes to `out`, room for twice the bytes. */
static size_t to_crlf(const char *text, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) out[n++] = '\r';
        out[n++] = text[i];
    }
    return n;
}

/* Turns the text under way to line ends of two bytes and into tokens again, which are other ones
 * and more of them. */
static edgellm_status turn_to_crlf(el_writer *w, edgellm_error *err)
{
    size_t len = 0, count = 0;
    EL_TRY(edgellm_detokenize(w->engine, w->tokens, w->count, false, NULL, 0, &len, err));
    char *text = malloc(3 * len + 1);
    if (text == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for a text of %zu bytes", len);
    edgellm_status status =
        edgellm_detokenize(w->engine, w->tokens, w->count, false, text, len, &len, err);
    const size_t longer = status == EDGELLM_OK ? to_crlf(text, len, text + len) : 0;
    if (status == EDGELLM_OK)
        status = edgellm_tokenize(w->engine, text + len, longer, EDGELLM_TOKENIZE_BOS, w->tokens,
                                  w->length, &count, err);
    free(text);
    if (status == EDGELLM_OK && count > 0) /* 0: it held no characters, and is left as it was */
        w->count = count < w->length ? (uint32_t)count : w->length;
    return status;
}

static edgellm_status write_on(el_writer *w, const way *how, const char *opening,
                               edgellm_error *err)
{
    bool stuck = false;
    EL_TRY(open_text(w, opening, err));
    if (how->odd) choose_odd_word(w);
    EL_TRY(go_on(w, &stuck, err));
    if (how->crlf) EL_TRY(turn_to_crlf(w, err));
    if (w->count >= w->room) return EDGELLM_OK;
    if (w->end == EL_TOKEN_NONE) w->end = w->separator;
    if (w->end != EL_TOKEN_NONE) w->tokens[w->count++] = w->end;
    return EDGELLM_OK;
}

/* ---- choosing ------------------------------------------------------------------------------ */

static uint32_t usable_share(const el_writer *w, const way *how)
{
    return how->chat && w->closing == 0 ? 0 : how->share;
}

/* Way and opening from one number: evenly spread numbers give evenly spread openings of each way.
 */
static edgellm_status write_text(el_writer *w, uint64_t choice, edgellm_error *err)
{
    const way *how = ways;
    uint64_t total = 0;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        total += usable_share(w, &ways[i]);
    uint64_t at = (choice >> 32) * total; /* of total * 2^32 */
    while (at >= (uint64_t)usable_share(w, how) << 32)
        at -= (uint64_t)usable_share(w, how++) << 32;
    w->count = w->stale = w->odd_tokens = 0;
    EL_TRY(edgellm_session_truncate(w->session, 0, err));
    EL_TRY(seed_sampler(w, err));
    if (how->openings == NULL) return how->write(w, how, NULL, err);
    const uint64_t opening = at / how->share * how->openings->count >> 32;
    return how->write(w, how, how->openings->texts[opening], err);
}

edgellm_status el_writer_sequence(el_writer *w, uint64_t seed, uint32_t number, uint32_t *tokens,
                                  edgellm_error *err)
{
    /* The first texts of all sequences share the ways out evenly: multiples of the golden ratio. */
    uint64_t choice = mix(seed, 0, 0) + number * 0x9e3779b97f4a7c15u;
    uint32_t filled = 0;
    for (uint32_t k = 1; filled < w->length; k++) {
        w->random = mix(seed, number + 1u, k);
        w->room = w->length - filled;
        EL_TRY(write_text(w, choice, err));
        const uint32_t n = w->count < w->room ? w->count : w->room;
        memcpy(tokens + filled, w->tokens, n * sizeof *tokens);
        filled += n;
        choice = el_random_next(&w->random);
    }
    return EDGELLM_OK;
}

/* ---- life ---------------------------------------------------------------------------------- */

static edgellm_status learn_turns(el_writer *w, edgellm_error *err)
{
    edgellm_model_info info;
    edgellm_engine_info(w->engine, &info);
    w->vocab = info.vocab;
    w->separator = EL_TOKEN_NONE;
    for (uint32_t id = 0; id < w->vocab && w->separator == EL_TOKEN_NONE; id++)
        if (edgellm_is_end(w->engine, id)) w->separator = id;
    if (!info.has_chat_template) return EDGELLM_OK;
    return edgellm_chat_prompt(w->engine, NULL, 0, EDGELLM_CHAT_CONTINUE, &w->turn_end, 1,
                               &w->closing, err);
}

edgellm_status el_writer_open(el_writer *w, const edgellm_engine *engine, uint32_t length,
                              edgellm_error *err)
{
    const edgellm_session_options options = {
        .context = length, .batch = EL_TOGETHER_MAX, .threads = 1};
    w->engine = engine;
    w->session = NULL;
    w->tokens = NULL;
    w->length = length;
    w->closing = 0;
    EL_TRY(learn_turns(w, err));
    w->tokens = malloc((w->length + w->closing) * sizeof *w->tokens);
    if (w->tokens == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for a text of %u tokens", length);
    return edgellm_session_open(engine, &options, &w->session, err);
}

void el_writer_close(el_writer *w)
{
    edgellm_session_close(w->session);
    free(w->tokens);
    w->session = NULL;
    w->tokens = NULL;
}
