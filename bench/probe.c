// Preloaded into every server, variant or not: on SIGRTMIN+5 it trims glibc's heap. The benchmark sends that once, when the
// server is at rest at the end of a run, to learn what a trim at rest would leave. Until then it does nothing.
#include <malloc.h>
#include <signal.h>
#include <stddef.h>

static void trim(int number)
{
    (void)number;
    // Not for a signal handler in general: at rest no thread is inside malloc.
    malloc_trim(0);
}

__attribute__((constructor)) static void install(void)
{
    struct sigaction action = {.sa_handler = trim, .sa_flags = SA_RESTART};
    sigaction(SIGRTMIN + 5, &action, NULL);
}
