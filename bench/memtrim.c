// The idea of libmemtrim and its kin, as a variant of the benchmark: free() calls malloc_trim once a second, whoever waits for an answer.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <time.h>

static atomic_long next;

void free(void *block)
{
    static void (*real)(void *);
    struct timespec now;
    if (real == NULL)
        real = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    real(block);
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    long due = atomic_load_explicit(&next, memory_order_relaxed);
    if (now.tv_sec >= due && atomic_compare_exchange_strong(&next, &due, now.tv_sec + 1))
        malloc_trim(0);
}
