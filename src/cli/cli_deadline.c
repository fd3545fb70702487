#include "cli/cli_deadline.h"

#include <stdio.h>

static const uint64_t calibration_ns = 40000000;

edgellm_status el_cli_deadline_check(const el_cli_deadline_values *v, edgellm_error *err)
{
    if (!v->shorten || v->ms > 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "--deadline-shorten needs --deadline-ms");
}

static const char *source_of(const el_cli_deadline *d)
{
    return d->calibrated ? "a calibration" : "the certificate";
}

static edgellm_status calibrate(el_cli_deadline *d, const el_cli_model *model, edgellm_error *err)
{
    edgellm_costs costs;
    EL_CLI_TRY(edgellm_session_calibrate(model->session, calibration_ns, &costs, err));
    d->calibrated = true;
    return edgellm_session_set_costs(model->session, &costs, err);
}

static edgellm_status refuse(const el_cli_deadline *d, size_t prompt_tokens, edgellm_error *err)
{
    const edgellm_forecast *f = &d->forecast;
    const double all = (f->answer_ns + f->margin_ns) / 1e6;
    const double enough = EDGELLM_ADMITTED_AT * f->answer_ns / 1e6;
    return el_cli_fail(err, EDGELLM_ERR_DEADLINE,
                       "%u ms do not hold the answer: by %s the first token after %zu of prompt "
                       "takes %.1f ms, all %u take %.1f ms; %u fit (--deadline-shorten), %.0f ms "
                       "are enough",
                       d->wanted.ms, source_of(d), prompt_tokens, f->first_ns / 1e6, d->asked,
                       f->answer_ns / 1e6, f->tokens, all < enough ? all + 0.5 : enough + 0.5);
}

edgellm_status el_cli_deadline_admit(el_cli_deadline *d, const el_cli_deadline_values *v,
                                     const el_cli_model *model, bool certified,
                                     size_t prompt_tokens, size_t answer_tokens, edgellm_error *err)
{
    *d = (el_cli_deadline){.wanted = *v};
    if (v->ms == 0) return EDGELLM_OK;
    if (!certified) EL_CLI_TRY(calibrate(d, model, err));
    d->asked = answer_tokens < UINT32_MAX ? (uint32_t)answer_tokens : UINT32_MAX;
    const uint32_t prompt = prompt_tokens < UINT32_MAX ? (uint32_t)prompt_tokens : UINT32_MAX;
    EL_CLI_TRY(
        edgellm_session_forecast(model->session, prompt, d->asked, v->ms * 1e6, &d->forecast, err));
    if (d->forecast.admitted || (v->shorten && d->forecast.tokens > 0)) return EDGELLM_OK;
    return refuse(d, prompt_tokens, err);
}

static double late_ms(const el_cli_deadline *d, const el_cli_answer *a)
{
    const double late = a->answer_ms - d->wanted.ms;
    return late > 0 ? late : 0;
}

json_t *el_cli_deadline_json(const el_cli_deadline *d, const el_cli_answer *a)
{
    if (d->wanted.ms == 0) return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "ms", json_integer(d->wanted.ms));
    json_object_set_new(o, "by", json_string(d->calibrated ? "calibration" : "certificate"));
    json_object_set_new(o, "forecast_first_ms", json_real(d->forecast.first_ns / 1e6));
    json_object_set_new(o, "forecast_ms", json_real(d->forecast.answer_ns / 1e6));
    json_object_set_new(o, "forecast_tokens", json_integer(d->forecast.tokens));
    json_object_set_new(o, "answer_ms", json_real(a->answer_ms));
    json_object_set_new(o, "late_ms", json_real(late_ms(d, a)));
    return o;
}

void el_cli_deadline_print(const el_cli_deadline *d, const el_cli_answer *a)
{
    if (d->wanted.ms == 0) return;
    fprintf(stderr, " | deadline %u ms: %.1f forecast by %s, %.1f taken", d->wanted.ms,
            d->forecast.answer_ns / 1e6, source_of(d), a->answer_ms);
    if (late_ms(d, a) > 0) fprintf(stderr, ", %.1f late", late_ms(d, a));
}
