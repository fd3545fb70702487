/* failing_memory.c: see failing_memory.h. */
#include "support/failing_memory.h"

el_failing_memory el_memory;

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static void *counted(void *memory)
{
    el_memory.in_use += memory != NULL;
    return memory;
}

static bool fails(void)
{
    const long call = ++el_memory.calls, failing = el_memory.failing;
    return failing > 0 && (call == failing || (el_memory.is_lasting && call > failing));
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails()) return NULL;
    return memory ? __real_realloc(memory, size) : counted(__real_malloc(size));
}

void __wrap_free(void *memory)
{
    el_memory.in_use -= memory != NULL;
    __real_free(memory);
}
