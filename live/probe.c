// Preloaded into every server, with the library and without (live/floor.py). It is signalled when the server is at rest at the end of a run. Until then it
// does nothing.
//
//   SIGRTMIN+5   trims glibc's heap: what would a trim at rest leave?
//   SIGRTMIN+6   writes how much malloc has handed out of its arenas: what is live there, whatever a trim leaves?
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

// Not for a signal handler in general: at rest no thread is inside malloc, or inside stdio.
static void trim(int number)
{
    (void)number;
    malloc_trim(0);
}

static size_t handed_out(void)
{
#if __GLIBC_PREREQ(2, 33)
    return mallinfo2().uordblks;
#else
    return (unsigned)mallinfo().uordblks;
#endif
}

static void tell(int number)
{
    char line[64];
    (void)number;
    int length = snprintf(line, sizeof line, "probe: pid=%d live=%zu\n", getpid(), handed_out());
    if (write(STDERR_FILENO, line, length) < 0)
        return;
}

static void install(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(number, &action, NULL);
}

__attribute__((constructor)) static void begin(void)
{
    install(SIGRTMIN + 5, trim);
    install(SIGRTMIN + 6, tell);
}
