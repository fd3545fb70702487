#include "server/metrics.h"

static el_metrics_row *row_of(el_metrics *metrics, const el_route *route, unsigned status)
{
    for (uint32_t i = 0; i < metrics->n_rows; i++) {
        el_metrics_row *row = &metrics->rows[i];
        if (row->route == route && row->status == status) return row;
    }
    if (metrics->n_rows == EL_METRICS_ROWS) return NULL;
    el_metrics_row *row = &metrics->rows[metrics->n_rows++];
    *row = (el_metrics_row){.route = route, .status = status};
    return row;
}

void el_metrics_open(el_metrics *metrics)
{
    const el_route *route;
    for (size_t i = 0; (route = el_route_at(i)) != NULL; i++)
        (void)row_of(metrics, route, 200);
}

void el_metrics_count_deadline(el_metrics *metrics, const el_account *account)
{
    metrics->deadlines[account->deadline]++;
    if (account->deadline == EL_DEADLINE_MISSED)
        el_histogram_add(&metrics->lateness, account->late_ns);
}

void el_metrics_count(el_metrics *metrics, const el_account *account)
{
    el_metrics_row *row = row_of(metrics, account->route, account->status);
    if (row) row->n++;
    metrics->prompt_tokens += account->prompt_tokens;
    metrics->answer_tokens += account->answer_tokens;
    el_metrics_count_deadline(metrics, account);
    if (account->was_computed && account->is_whole)
        el_histogram_add(&metrics->request, account->ended_ns - account->asked_ns);
}
