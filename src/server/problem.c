#include "server/problem.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    unsigned status;
    const char *type, *code; /* code NULL: the status, as llama.cpp's server has it */
} kinds[EL_PROBLEM_KINDS] = {
    [EL_PROBLEM_REQUEST] = {400, "invalid_request_error", "invalid_value"},
    [EL_PROBLEM_CONTEXT] = {400, "invalid_request_error", "context_length_exceeded"},
    [EL_PROBLEM_KEY] = {401, "authentication_error", "invalid_api_key"},
    [EL_PROBLEM_ORIGIN] = {403, "permission_error", "origin_not_allowed"},
    [EL_PROBLEM_HOST] = {403, "permission_error", "host_not_allowed"},
    [EL_PROBLEM_ROUTE] = {404, "invalid_request_error", "not_found"},
    [EL_PROBLEM_MODEL] = {404, "invalid_request_error", "model_not_found"},
    [EL_PROBLEM_METHOD] = {405, "invalid_request_error", "method_not_allowed"},
    [EL_PROBLEM_BUSY] = {409, "invalid_request_error", "slot_busy"},
    [EL_PROBLEM_LENGTH] = {411, "invalid_request_error", "length_required"},
    [EL_PROBLEM_BODY] = {413, "invalid_request_error", "body_too_large"},
    [EL_PROBLEM_MEDIA] = {415, "invalid_request_error", "unsupported_media_type"},
    [EL_PROBLEM_DEADLINE] = {422, "deadline_error", "deadline_refused"},
    [EL_PROBLEM_UPGRADE] = {426, "invalid_request_error", "upgrade_required"},
    [EL_PROBLEM_QUEUE] = {429, "rate_limit_error", "queue_full"},
    [EL_PROBLEM_INTERNAL] = {500, "server_error", "internal"},
    [EL_PROBLEM_LOADING] = {503, "unavailable_error", NULL},
    [EL_PROBLEM_STOPPING] = {503, "unavailable_error", NULL},
};

bool el_problem_set(el_problem *problem, el_problem_kind kind, const char *param,
                    const char *format, ...)
{
    va_list arguments;
    *problem = (el_problem){.kind = kind};
    snprintf(problem->param, sizeof problem->param, "%s", param ? param : "");
    va_start(arguments, format);
    vsnprintf(problem->message, sizeof problem->message, format, arguments);
    va_end(arguments);
    return false;
}

unsigned el_problem_status(const el_problem *problem)
{
    return kinds[problem->kind].status;
}

static void write_forecast(const edgellm_forecast *f, el_out *out)
{
    el_out_text(out, ",\"forecast\":{\"first_ms\":");
    el_out_real(out, f->first_ns / 1e6);
    el_out_text(out, ",\"answer_ms\":");
    el_out_real(out, f->answer_ns / 1e6);
    el_out_text(out, ",\"margin_ms\":");
    el_out_real(out, f->margin_ns / 1e6);
    el_out_text(out, ",\"enough_ms\":");
    el_out_real(out, EDGELLM_ADMITTED_AT * (f->answer_ns + f->margin_ns) / 1e6);
    el_out_print(out, ",\"tokens\":%u}", f->tokens);
}

void el_problem_write(const el_problem *problem, el_out *out)
{
    const char *code = kinds[problem->kind].code;
    el_out_text(out, "{\"error\":{\"message\":");
    el_out_string(out, problem->message);
    el_out_print(out, ",\"type\":\"%s\",\"param\":", kinds[problem->kind].type);
    if (problem->param[0] != '\0')
        el_out_string(out, problem->param);
    else
        el_out_text(out, "null");
    if (code)
        el_out_print(out, ",\"code\":\"%s\"", code);
    else
        el_out_print(out, ",\"code\":%u", kinds[problem->kind].status);
    if (problem->has_forecast) write_forecast(&problem->forecast, out);
    el_out_text(out, "}}");
}

void el_problem_write_flat(const el_problem *problem, el_out *out)
{
    el_out_text(out, "{\"error\":");
    el_out_string(out, problem->message);
    if (problem->param[0] != '\0') {
        el_out_text(out, ",\"param\":");
        el_out_string(out, problem->param);
    }
    if (problem->has_forecast) write_forecast(&problem->forecast, out);
    el_out_text(out, "}");
}
