#include "server/histogram.h"

const uint32_t el_histogram_bounds[EL_HISTOGRAM_BOUNDS] = {
    1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 3000, 5000, 10000, 30000, 60000};

void el_histogram_add(el_histogram *histogram, uint64_t ns)
{
    uint32_t i = 0;
    while (i < EL_HISTOGRAM_BOUNDS && ns > el_histogram_bounds[i] * UINT64_C(1000000))
        i++;
    el_counter_add(&histogram->in[i], 1);
    el_counter_add(&histogram->sum_ns, ns);
}
