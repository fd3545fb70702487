/* session_grammar.c: grammars, and the choice of the next token, which keeps to one. */
#include <stdlib.h>

#include "base/fpenv.h"
#include "engine/session.h"

/* ---- grammars -------------------------------------------------------------------------------- */

edgellm_status edgellm_grammar_create(const edgellm_engine *engine, const char *text, size_t len,
                                      edgellm_grammar **grammar, edgellm_error *err)
{
    if (!engine->grammars)
        return el_fail(err, EDGELLM_ERR_USAGE, "a grammar: open the engine with `grammars`");
    edgellm_grammar *g = calloc(1, sizeof *g);
    if (!g) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for a grammar");
    g->engine = engine;
    edgellm_status status = el_program_make(&g->program, text, len, &engine->trie, err);
    if (status == EDGELLM_OK)
        *grammar = g;
    else
        free(g);
    return status;
}

void edgellm_grammar_destroy(edgellm_grammar *grammar)
{
    if (!grammar) return;
    el_program_release(&grammar->program);
    free(grammar);
}

/* ---- the grammar of a session ---------------------------------------------------------------- */

static edgellm_status check_grammar(const edgellm_session *s, const edgellm_grammar *grammar,
                                    uint32_t max_tokens, edgellm_error *err)
{
    const uint32_t needs = el_cost_add(grammar->program.nodes[grammar->program.root].cost, 1);
    if (!s->matcher)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "no room for a grammar: open the session with `grammar`");
    if (grammar->engine != s->engine)
        return el_fail(err, EDGELLM_ERR_USAGE, "the grammar was made for another engine");
    if (needs <= max_tokens) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "the shortest answer of this grammar may need %u tokens with its end, %u are "
                   "allowed: allow more",
                   needs, max_tokens);
}

edgellm_status edgellm_session_set_grammar(edgellm_session *session, const edgellm_grammar *grammar,
                                           uint32_t max_tokens, edgellm_error *err)
{
    if (grammar) EL_TRY(check_grammar(session, grammar, max_tokens, err));
    if (!session->matcher) return EDGELLM_OK;
    session->tokens_left = max_tokens;
    session->has_taken = false;
    return el_matcher_begin(session->matcher, grammar ? &grammar->program : NULL, err);
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* Tokens that fit into the context: the last need not be computed. */
static uint32_t left_in_context(const edgellm_session *s, uint32_t left)
{
    const uint32_t room = s->forward.context - s->position + 1;
    return room < left ? room : left;
}

uint32_t el_session_fitting(const edgellm_costs *costs, uint32_t position, el_choice choice,
                            el_nanoseconds deadline, uint32_t left)
{
    if (deadline == 0) return left;
    const double more = el_forecast_choice(costs, choice);
    const double time = (double)(int64_t)(deadline - el_clock_now()) - costs->step_margin - more;
    return 1 + el_forecast_fitting(costs, position, left > 0 ? left - 1 : 0, more, time);
}

el_choice el_session_choice(const edgellm_session *s)
{
    return (el_choice){.grammar = s->matcher && s->matcher->program};
}

static uint32_t draw(edgellm_session *s)
{
    el_fpenv env = el_fpenv_enter();
    const uint32_t token =
        el_sampler_sample(&s->sampler, s->forward.logits, s->tokens, s->position);
    el_fpenv_leave(env);
    return token;
}

static bool take(edgellm_session *s, uint32_t token)
{
    size_t len = 0;
    const uint8_t *bytes = NULL;
    if (token < s->engine->file.vocab.n_tokens &&
        !el_tokenizer_is_special(s->engine->tokenizer, token))
        bytes = el_tokenizer_bytes(s->engine->tokenizer, token, &len);
    s->has_taken = true;
    return el_matcher_take(s->matcher, token, bytes, len);
}

edgellm_status el_session_choose(edgellm_session *s, uint32_t left, uint32_t *token,
                                 edgellm_error *err)
{
    if (!s->matcher || !s->matcher->program) {
        *token = draw(s);
        return EDGELLM_OK;
    }
    left = el_session_fitting(&s->costs, s->position, el_session_choice(s),
                              s->has_costs ? s->deadline : 0, left_in_context(s, left));
    const el_mask *mask;
    EL_TRY(el_matcher_mask(s->matcher, left, &mask, err));
    s->sampler.mask = mask;
    *token = draw(s);
    s->sampler.mask = NULL;
    if (take(s, *token)) return EDGELLM_OK;
    if (el_mask_has(mask, *token)) return el_matcher_fail_bound(err);
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "every token that the grammar allows here is banned by logit_bias");
}

edgellm_status edgellm_session_choose(edgellm_session *session, uint32_t *token, edgellm_error *err)
{
    EL_TRY(el_session_choose(session, session->tokens_left, token, err));
    if (session->tokens_left > 1) session->tokens_left--;
    return EDGELLM_OK;
}

uint32_t edgellm_session_sample(edgellm_session *session)
{
    uint32_t token = 0;
    if (edgellm_session_choose(session, &token, NULL) != EDGELLM_OK)
        token = session->engine->trie.ends[0]; /* a grammar has one */
    return token;
}

/* ---- what masks take --------------------------------------------------------------------------
 */

/* Along short strings nearly every token leads to a state of its own, and counters have to be
 * followed along most of the vocabulary: dearer masks than most, but such as schemas have. */
static const char measured_grammar[] = "root ::= \"[\" text (\",\" text)* \"]\"\n"
                                       "text ::= \"\\\"\" [^\"\\\\\\x00-\\x1f]{0,8} \"\\\"\"\n";
static const char measured_text[] = "[\"abcdefgh\",\"ijklmnop\",\"qrstuvwx\"]";
enum { LEAST_MASKS = 12, PLENTY = 1000 }; /* one whole string; tokens that are left */

/* The mean of one mask after the other; what follows is taken byte by byte. */
static bool time_masks(el_matcher *m, double budget, const el_beside *beside, double *mean,
                       edgellm_status *status, edgellm_error *err)
{
    double spent = 0, longest = 0;
    uint32_t n = 0;
    for (; n + 1 < sizeof measured_text && (n < LEAST_MASKS || spent < budget); n++) {
        const el_mask *mask;
        if (!el_beside_may(beside, longest)) return false;
        const el_nanoseconds start = el_clock_now();
        *status = el_matcher_mask(m, PLENTY, &mask, err);
        if (*status != EDGELLM_OK) return false;
        el_matcher_take(m, UINT32_MAX, (const uint8_t *)measured_text + n, 1);
        const double ns = (double)(el_clock_now() - start);
        spent += ns;
        if (ns > longest) longest = ns;
    }
    *mean = spent / n;
    return true;
}

bool el_session_measure_masks(edgellm_session *s, double budget, const el_beside *beside,
                              double *mask, edgellm_status *status, edgellm_error *err)
{
    const el_program *held = s->matcher ? s->matcher->program : NULL;
    el_program program;
    edgellm_error why;
    *mask = held && s->has_costs ? s->costs.mask : 0;
    if (!s->matcher || (held && s->has_taken)) return true;
    *status = el_program_make(&program, measured_grammar, sizeof measured_grammar - 1,
                              &s->engine->trie, &why);
    if (*status != EDGELLM_OK) {
        if (*status == EDGELLM_ERR_UNSUPPORTED) *status = EDGELLM_OK; /* there are no grammars */
        if (*status != EDGELLM_OK && err) *err = why;
        return *status == EDGELLM_OK;
    }
    *status = el_matcher_begin(s->matcher, &program, err);
    bool is_whole =
        *status == EDGELLM_OK && time_masks(s->matcher, budget, beside, mask, status, err);
    if (el_matcher_begin(s->matcher, held, &why) != EDGELLM_OK) is_whole = false;
    el_program_release(&program);
    return is_whole;
}
