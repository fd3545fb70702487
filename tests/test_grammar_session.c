/*
 * test_grammar_session.c: answers that keep to grammars, through the public interface: alone and
 * several at once, within their budgets; and what is refused.
 */
#include "support/test_help.h"

#include <math.h>

#include "engine/session.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"

enum { CONTEXT = 96, MOST = 40, GRAMMARS = 3 };

/* The last allows what a free answer of the tiny model may have, but for bytes that are not UTF-8.
 */
static const char list[] = "root ::= \"[\" (item (\",\" item)*)? \"]\"\n"
                           "item ::= root | [a-z]{2,4} | \"\\\"\" [^\"\\\\]* \"\\\"\"\n";
static const char *const texts[GRAMMARS] = {list, "root ::= [0-9]{3,30} \".\"", "root ::= .*"};

static const uint32_t prompt[] = {40, 41, 42, 7, 99};
enum { PROMPT = sizeof prompt / sizeof prompt[0] };

typedef struct world {
    edgellm_engine *engine;
    edgellm_grammar *grammars[GRAMMARS];
} world;

typedef struct answer {
    uint32_t tokens[MOST + 1], n;
    bool ended;
} answer;

static int set_up(void **state)
{
    static world w;
    edgellm_error err;
    const edgellm_engine_options o = {.grammars = true};
    tiny_files_make(state);
    assert_ok(edgellm_engine_open(tiny_file_path(TINY_KEPT), &o, &w.engine, &err));
    for (int i = 0; i < GRAMMARS; i++)
        assert_ok(
            edgellm_grammar_create(w.engine, texts[i], strlen(texts[i]), &w.grammars[i], &err));
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    for (int i = 0; i < GRAMMARS; i++)
        edgellm_grammar_destroy(w->grammars[i]);
    edgellm_grammar_destroy(NULL);
    edgellm_engine_close(w->engine);
    return 0;
}

static edgellm_session *open_session(const world *w)
{
    const edgellm_session_options o = {.context = CONTEXT, .threads = 1, .grammar = true};
    edgellm_session *session = NULL;
    edgellm_error err;
    assert_ok(edgellm_session_open(w->engine, &o, &session, &err));
    return session;
}

static void set_sampler(edgellm_session *session, uint64_t seed)
{
    edgellm_sampler_options o = edgellm_sampler_defaults();
    edgellm_error err;
    o.seed = seed;
    o.temperature = 2; /* the tiny model's logits lie close together */
    assert_ok(edgellm_session_set_sampler(session, &o, &err));
}

/* The prompt, and tokens up to an end or `most`; the end token is not among them. */
static answer make_answer(edgellm_session *session, uint32_t most)
{
    answer a = {.n = 0};
    edgellm_error err;
    assert_ok(edgellm_session_truncate(session, 0, &err));
    assert_ok(edgellm_session_eval(session, prompt, PROMPT, NULL, &err));
    for (;;) {
        uint32_t token;
        assert_ok(edgellm_session_choose(session, &token, &err));
        a.ended = token == EL_TINY_IM_END || token == EL_TINY_END_OF_TEXT;
        if (a.ended) return a;
        a.tokens[a.n++] = token;
        if (a.n == most) return a;
        assert_ok(edgellm_session_eval(session, &token, 1, NULL, &err));
    }
}

/* Is the text of an answer what a grammar allows? Read byte by byte. */
static bool keeps_to(const world *w, int grammar, const answer *a)
{
    char text[4096];
    size_t len;
    edgellm_error err;
    el_arena measure = el_arena_measure(), arena;
    el_matcher m;
    assert_ok(edgellm_detokenize(w->engine, a->tokens, a->n, false, text, sizeof text, &len, &err));
    el_matcher_layout(&m, &w->engine->trie, &measure);
    assert_ok(el_arena_reserve(&arena, measure.used, &err));
    el_matcher_layout(&m, &w->engine->trie, &arena);
    assert_ok(el_matcher_begin(&m, &w->grammars[grammar]->program, &err));
    bool good = true;
    for (size_t i = 0; i < len && good; i++)
        good = el_matcher_take(&m, UINT32_MAX, (const uint8_t *)text + i, 1);
    good = good && el_matcher_needs(&m) == 1;
    el_arena_release(&arena);
    return good;
}

/* Whatever is drawn, the answer is whole when its tokens are used up. */
static void test_answers_close(void **state)
{
    const world *w = *state;
    edgellm_session *session = open_session(w);
    edgellm_error err;
    for (uint64_t seed = 0; seed < 30; seed++)
        for (int g = 0; g < 2; g++) {
            const uint32_t most = 5 + (uint32_t)seed;
            set_sampler(session, seed);
            assert_ok(edgellm_session_set_grammar(session, w->grammars[g], most, &err));
            const answer a = make_answer(session, most);
            assert_true(a.ended && a.n < most);
            assert_true(keeps_to(w, g, &a));
        }
    edgellm_session_close(session);
}

/* The context is a budget too. */
static void test_the_context_closes(void **state)
{
    const world *w = *state;
    const edgellm_session_options o = {.context = PROMPT + 8, .threads = 1, .grammar = true};
    edgellm_session *session = NULL;
    edgellm_error err;
    assert_ok(edgellm_session_open(w->engine, &o, &session, &err));
    for (uint64_t seed = 0; seed < 10; seed++) {
        set_sampler(session, seed);
        assert_ok(edgellm_session_set_grammar(session, w->grammars[1], MOST, &err));
        const answer a = make_answer(session, MOST);
        assert_true(a.ended && keeps_to(w, 1, &a));
    }
    edgellm_session_close(session);
}

/* And so is the deadline: a second for each token, of which there are always fewer left. */
static void test_the_deadline_closes(void **state)
{
    const world *w = *state;
    const edgellm_costs slow = {.step = 1e9, .step_margin = 1e8};
    edgellm_session *session = open_session(w);
    edgellm_error err;
    assert_ok(edgellm_session_set_costs(session, &slow, &err));
    for (uint64_t seed = 0; seed < 10; seed++) {
        answer a = {.n = 0};
        uint32_t token = prompt[0];
        set_sampler(session, seed);
        edgellm_session_set_deadline(session, 0);
        assert_ok(edgellm_session_truncate(session, 0, &err));
        assert_ok(edgellm_session_set_grammar(session, w->grammars[1], MOST, &err));
        for (uint64_t left = 9; left > 0 && !a.ended; left--) {
            edgellm_session_set_deadline(session, 0);
            assert_ok(edgellm_session_eval(session, &token, 1, NULL, &err));
            edgellm_session_set_deadline(session, el_clock_now() + left * 1000000000 - 500000000);
            assert_ok(edgellm_session_choose(session, &token, &err));
            a.ended = edgellm_is_end(w->engine, token);
            if (!a.ended) a.tokens[a.n++] = token;
        }
        assert_true(a.ended && keeps_to(w, 1, &a));
    }
    edgellm_session_close(session);
}

/* Masks are measured before an answer has begun, forecasts have them, and nothing else changes; in
 * the middle of one, what was known stays. */
static void test_what_masks_take(void **state)
{
    const world *w = *state;
    edgellm_session *measured = open_session(w), *other = open_session(w);
    edgellm_costs costs;
    edgellm_forecast bare, f;
    edgellm_error err;
    uint32_t a = 0, b = 0;
    for (int i = 0; i < 2; i++) {
        edgellm_session *s = i == 0 ? measured : other;
        assert_ok(edgellm_session_set_grammar(s, w->grammars[0], MOST, &err));
        if (s == measured) assert_ok(edgellm_session_calibrate(s, 2000000, &costs, &err));
        assert_ok(edgellm_session_eval(s, prompt, PROMPT, NULL, &err));
    }
    assert_true(costs.mask > 0 && costs.logprobs > 0 && costs.top_logprobs > 0);
    costs.mask = 1e12;
    assert_ok(edgellm_session_set_costs(measured, &costs, &err));
    assert_ok(edgellm_session_forecast(measured, 0, 5, 0, &f, &err));
    assert_true(f.first_ns == 1e12 && f.answer_ns >= 5e12 && f.answer_ns < 5.1e12);
    for (int i = 0; i < 10; i++) {
        assert_ok(edgellm_session_choose(measured, &a, &err));
        assert_ok(edgellm_session_choose(other, &b, &err));
        assert_int_equal(a, b);
        if (edgellm_is_end(w->engine, a)) break;
        if (i == 1) {
            assert_ok(edgellm_session_calibrate(measured, 0, &costs, &err));
            assert_true(costs.mask == 1e12);
        }
        assert_ok(edgellm_session_eval(measured, &a, 1, NULL, &err));
        assert_ok(edgellm_session_eval(other, &b, 1, NULL, &err));
    }
    assert_ok(edgellm_session_set_grammar(measured, NULL, 0, &err));
    assert_ok(edgellm_session_forecast(measured, 0, 5, 0, &bare, &err));
    assert_true(bare.first_ns == 0 && bare.answer_ns < 1e12);
    assert_ok(edgellm_session_calibrate(measured, 0, &costs, &err));
    assert_true(costs.mask > 0 && costs.mask < 1e12);
    edgellm_session_close(measured);
    edgellm_session_close(other);
}

/* Where a free answer stays within the grammar, so does the other with the same bits: what is not
 * allowed is taken out of the free one by biases. */
static void test_a_grammar_of_everything_changes_nothing(void **state)
{
    const world *w = *state;
    edgellm_session *session = open_session(w);
    edgellm_error err;
    edgellm_logit_bias bans[200];
    edgellm_sampler_options o = edgellm_sampler_defaults();
    for (uint32_t i = 0; i < EL_TINY_VOCAB; i++) {
        size_t len;
        const uint8_t *bytes = el_tokenizer_bytes(w->engine->tokenizer, i, &len);
        const bool ascii = len > 0 && bytes[0] < 0x80;
        if (ascii && !el_tokenizer_is_special(w->engine->tokenizer, i)) continue;
        assert_true(o.n_logit_bias < 200);
        bans[o.n_logit_bias++] = (edgellm_logit_bias){i, -INFINITY};
    }
    o.logit_bias = bans;
    for (o.seed = 0; o.seed < 10; o.seed++) {
        o.temperature = o.seed == 0 ? 0 : 2;
        assert_ok(edgellm_session_set_grammar(session, NULL, 0, &err));
        assert_ok(edgellm_session_set_sampler(session, &o, &err));
        const answer free_one = make_answer(session, 20);
        assert_ok(edgellm_session_set_grammar(session, w->grammars[2], 1000, &err));
        assert_ok(edgellm_session_set_sampler(session, &o, &err));
        const answer kept = make_answer(session, 20);
        assert_int_equal(kept.n, 20);
        assert_memory_equal(free_one.tokens, kept.tokens, 20 * sizeof kept.tokens[0]);
    }
    edgellm_session_close(session);
}

/* ---- several at once ------------------------------------------------------------------------- */

static void collect(const edgellm_turn *turn, const uint64_t *ids, int n, answer *answers)
{
    for (uint32_t e = 0; e < turn->n_events; e++)
        for (int i = 0; i < n; i++) {
            const edgellm_event *event = &turn->events[e];
            if (event->id != ids[i]) continue;
            answers[i].ended = event->finish == EDGELLM_FINISH_END;
            if (event->has_token && !answers[i].ended)
                answers[i].tokens[answers[i].n++] = event->token;
        }
}

static void test_several_at_once(void **state)
{
    const world *w = *state;
    const edgellm_scheduler_options o = {
        .slots = GRAMMARS, .session = {.context = CONTEXT, .threads = 1, .grammar = true}};
    edgellm_scheduler *scheduler = NULL;
    edgellm_session *session = open_session(w);
    edgellm_error err;
    uint64_t ids[GRAMMARS];
    answer together[GRAMMARS] = {{.n = 0}};
    edgellm_turn turn = {.steps = 1};
    edgellm_sampler_options sampler = edgellm_sampler_defaults();
    sampler.temperature = 2;
    assert_ok(edgellm_scheduler_open(w->engine, &o, &scheduler, &err));
    for (uint32_t i = 0; i < GRAMMARS; i++) {
        sampler.seed = i;
        const edgellm_request r = {.tokens = prompt,
                                   .count = PROMPT,
                                   .max_tokens = 20,
                                   .sampler = &sampler,
                                   .grammar = i < 2 ? w->grammars[i] : NULL};
        assert_ok(edgellm_scheduler_submit(scheduler, &r, &ids[i], NULL, &err));
    }
    for (; turn.steps + turn.prompt_tokens > 0; collect(&turn, ids, GRAMMARS, together))
        assert_ok(edgellm_scheduler_turn(scheduler, &turn, &err));
    for (uint32_t i = 0; i < GRAMMARS; i++) {
        set_sampler(session, i);
        assert_ok(edgellm_session_set_grammar(session, i < 2 ? w->grammars[i] : NULL, 20, &err));
        const answer alone = make_answer(session, 20);
        assert_true(i == 2 || (together[i].ended && keeps_to(w, (int)i, &alone)));
        assert_true(together[i].n >= alone.n);
        assert_memory_equal(alone.tokens, together[i].tokens, alone.n * sizeof alone.tokens[0]);
    }
    edgellm_session_close(session);
    edgellm_scheduler_close(scheduler);
}

/* A step takes so long that `tokens` of them, and no more, end before the deadline. */
static void set_steps(edgellm_scheduler *scheduler, uint64_t deadline, uint32_t tokens)
{
    edgellm_error err;
    const edgellm_costs c = {.step = (double)(deadline - el_clock_now()) / (tokens + 0.5)};
    assert_ok(edgellm_scheduler_set_costs(scheduler, &c, &err));
}

/* Steps turn out slower than was promised: what is left of the deadline holds one token fewer with
 * each. */
static void test_the_deadline_of_a_request_closes(void **state)
{
    const world *w = *state;
    const edgellm_scheduler_options o = {
        .slots = 1, .session = {.context = CONTEXT, .threads = 1, .grammar = true}};
    edgellm_scheduler *scheduler = NULL;
    edgellm_error err;
    edgellm_sampler_options sampler = edgellm_sampler_defaults();
    sampler.temperature = 2;
    assert_ok(edgellm_scheduler_open(w->engine, &o, &scheduler, &err));
    for (sampler.seed = 0; sampler.seed < 10; sampler.seed++) {
        answer a = {.n = 0};
        uint64_t id;
        edgellm_turn turn = {.steps = 1};
        const edgellm_request r = {.tokens = prompt,
                                   .count = PROMPT,
                                   .max_tokens = MOST,
                                   .sampler = &sampler,
                                   .deadline_ns = el_clock_now() + 1000000000000u,
                                   .grammar = w->grammars[1]};
        set_steps(scheduler, r.deadline_ns, 1000);
        assert_ok(edgellm_scheduler_submit(scheduler, &r, &id, NULL, &err));
        for (uint32_t left = 8; turn.steps + turn.prompt_tokens > 0;) {
            set_steps(scheduler, r.deadline_ns, left);
            assert_ok(edgellm_scheduler_turn(scheduler, &turn, &err));
            for (uint32_t e = 0; e < turn.n_events; e++)
                left -= turn.events[e].has_token && left > 1;
            collect(&turn, &id, 1, &a);
        }
        assert_true(a.ended && a.n < 12 && keeps_to(w, 1, &a));
    }
    edgellm_scheduler_close(scheduler);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    const world *w = *state;
    edgellm_session *with = open_session(w), *without = NULL;
    edgellm_grammar *none = NULL;
    edgellm_engine *plain = tiny_file_open(TINY_KEPT);
    edgellm_error err;
    const edgellm_session_options o = {.context = CONTEXT, .threads = 1},
                                  wants = {.context = CONTEXT, .threads = 1, .grammar = true};
    assert_ok(edgellm_session_open(w->engine, &o, &without, &err));
    assert_int_equal(edgellm_session_set_grammar(without, w->grammars[0], 20, &err),
                     EDGELLM_ERR_USAGE);
    assert_contains(err.message, "no room for a grammar");
    assert_ok(edgellm_session_set_grammar(without, NULL, 0, &err));
    assert_int_equal(edgellm_session_set_grammar(with, w->grammars[1], 4, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "may need 5 tokens with its end, 4 are allowed");
    assert_int_equal(edgellm_grammar_create(plain, texts[0], strlen(texts[0]), &none, &err),
                     EDGELLM_ERR_USAGE);
    assert_int_equal(edgellm_session_open(plain, &wants, &without, &err), EDGELLM_ERR_USAGE);
    assert_int_equal(edgellm_grammar_create(w->engine, "root ::= x", 10, &none, &err),
                     EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "line 1, column 10: there is no rule x");
    assert_null(none);
    assert_ok(edgellm_session_set_grammar(with, w->grammars[1], 20, &err));
    assert_int_equal(edgellm_session_save(with, EL_TEST_OUT "/grammar.session", NULL, 0, &err),
                     EDGELLM_ERR_USAGE);
    assert_contains(err.message, "take the grammar off");
    edgellm_session_close(with);
    edgellm_session_close(without);
    edgellm_engine_close(plain);
}

/* If biases ban all that the grammar allows, that is said, and an end token given. */
static void test_banned_by_biases(void **state)
{
    const world *w = *state;
    edgellm_session *session = open_session(w);
    edgellm_error err;
    edgellm_logit_bias bans[EL_TINY_VOCAB - 1];
    edgellm_sampler_options o = edgellm_sampler_defaults();
    for (uint32_t i = 0; i + 1 < EL_TINY_VOCAB; i++)
        bans[o.n_logit_bias++] = (edgellm_logit_bias){i, -INFINITY};
    o.logit_bias = bans;
    uint32_t token;
    assert_ok(edgellm_session_set_sampler(session, &o, &err));
    assert_ok(edgellm_session_set_grammar(session, w->grammars[1], 20, &err));
    assert_ok(edgellm_session_eval(session, prompt, PROMPT, NULL, &err));
    assert_int_equal(edgellm_session_choose(session, &token, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "banned by logit_bias");
    assert_true(edgellm_is_end(w->engine, edgellm_session_sample(session)));
    edgellm_session_close(session);
}

/* Every letter may end a part or not, and no count is enough before the last. */
static void test_more_ways_than_are_followed(void **state)
{
    const world *w = *state;
    static const char many[] = "root ::= ([a-z] | [a-z][a-z] | [a-z][a-z][a-z]){400} \"!\"";
    const edgellm_session_options o = {.context = 250, .threads = 1, .grammar = true};
    edgellm_session *session = NULL;
    edgellm_grammar *grammar = NULL;
    edgellm_error err;
    edgellm_status status = EDGELLM_OK;
    assert_ok(edgellm_session_open(w->engine, &o, &session, &err));
    assert_ok(edgellm_grammar_create(w->engine, many, strlen(many), &grammar, &err));
    assert_ok(edgellm_session_set_grammar(session, grammar, 1000, &err));
    edgellm_sampler_options sampler = edgellm_sampler_defaults();
    for (uint32_t id = 0; id < EL_TINY_VOCAB && sampler.n_logit_bias == 0; id++) {
        static edgellm_logit_bias bias; /* no "!" before it has to come */
        size_t len;
        const uint8_t *bytes = el_tokenizer_bytes(w->engine->tokenizer, id, &len);
        if (len != 1 || bytes[0] != '!') continue;
        bias = (edgellm_logit_bias){id, -1000};
        sampler.logit_bias = &bias;
        sampler.n_logit_bias = 1;
    }
    assert_ok(edgellm_session_set_sampler(session, &sampler, &err));
    for (uint32_t token = prompt[0]; status == EDGELLM_OK;) {
        assert_ok(edgellm_session_eval(session, &token, 1, NULL, &err));
        status = edgellm_session_choose(session, &token, &err);
        assert_false(status == EDGELLM_OK && edgellm_is_end(w->engine, token));
    }
    assert_int_equal(status, EDGELLM_ERR_UNSUPPORTED);
    assert_contains(err.message, "in more than 512 ways at once");
    edgellm_session_close(session);
    edgellm_grammar_destroy(grammar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_close),
        cmocka_unit_test(test_the_context_closes),
        cmocka_unit_test(test_the_deadline_closes),
        cmocka_unit_test(test_what_masks_take),
        cmocka_unit_test(test_a_grammar_of_everything_changes_nothing),
        cmocka_unit_test(test_several_at_once),
        cmocka_unit_test(test_the_deadline_of_a_request_closes),
        cmocka_unit_test(test_more_ways_than_are_followed),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_banned_by_biases),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
