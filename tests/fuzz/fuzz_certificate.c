/*
 * fuzz_certificate.c: any certificate of latency. It is refused with one line, or what was read is
 * written and read again to the same text; then costs that a session takes make sane forecasts.
 *
 * Input: a byte, odd: with the right checksum in place of what is there; the file.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli_certificate.h"
#include "cli/cli_output.h"
#include "engine/forecast.h"
#include "fuzz/fuzz.h"

static const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(12);

static bool load(const char *text, size_t size, el_cli_certificate *c)
{
    edgellm_error err = {0};
    fuzz_file file = fuzz_file_open((const uint8_t *)text, size);
    memset(c, 0, sizeof *c);
    const bool loaded = fuzz_status(el_cli_certificate_load(c, file.path, &err), &err);
    fuzz_file_close(&file);
    return loaded;
}

/* Sealed; owned. */
static char *text_of(const el_cli_certificate *c)
{
    edgellm_error err;
    json_t *o = el_cli_certificate_json(c);
    FUZZ_CHECK(el_cli_certificate_seal(o, &err) == EDGELLM_OK);
    char *text = el_cli_json_dump(o, flags);
    FUZZ_CHECK(text != NULL);
    return text;
}

static void check_forecasts(const edgellm_costs *costs)
{
    edgellm_error err = {0};
    if (!fuzz_status(el_costs_check(costs, &err), &err)) return;
    for (uint32_t batch = 1; batch <= 64; batch *= 8) {
        const el_forecast_question q = {
            .position = 10, .prompt = 300, .answer = 200, .batch = batch, .within = 1e9};
        const edgellm_forecast f = el_forecast_answer(costs, &q);
        FUZZ_CHECK(f.first_ns >= 0 && f.answer_ns >= f.first_ns && f.margin_ns >= 0);
        FUZZ_CHECK(f.tokens <= q.answer && (f.admitted || f.tokens < q.answer));
        FUZZ_CHECK(el_forecast_needed(costs, 10, batch) >= el_forecast_chunk(costs, 10, batch));
    }
}

static void check_passes(const edgellm_costs *costs)
{
    edgellm_error err = {0};
    if (!fuzz_status(el_costs_check(costs, &err), &err)) return;
    for (uint32_t n = 1; n <= EDGELLM_SCHEDULER_SLOTS; n++) {
        const double pass = el_forecast_pass(costs, n, 1000);
        FUZZ_CHECK(pass >= costs->step_position * 1000 && pass < 1e30);
        if (costs->n_passes == 0) FUZZ_CHECK(pass >= n * costs->step);
    }
}

static void check(const char *text, size_t size)
{
    el_cli_certificate c, again;
    if (!load(text, size, &c)) return;
    char *first = text_of(&c);
    FUZZ_CHECK(load(first, strlen(first), &again));
    char *second = text_of(&again);
    FUZZ_CHECK(strcmp(first, second) == 0);
    free(first);
    free(second);
    FUZZ_CHECK(c.costs.n_passes <= EDGELLM_COSTS_PASSES);
    check_forecasts(&c.costs);
    check_passes(&c.costs);
}

static void check_sealed(const char *text, size_t size)
{
    edgellm_error err;
    json_t *o = json_loadb(text, size, 0, NULL);
    if (!json_is_object(o) || el_cli_certificate_seal(o, &err) != EDGELLM_OK) {
        json_decref(o);
        return;
    }
    char *sealed = el_cli_json_dump(o, flags);
    if (sealed != NULL) check(sealed, strlen(sealed));
    free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    const bool seal = fuzz_byte(&in) % 2 != 0;
    (seal ? check_sealed : check)((const char *)in.data, in.size);
    return 0;
}
