// Preloaded into every server, with the library and without (live/floor.py). It is signalled when the server is at rest at the end of a run. Until then it
// does nothing.
//
//   SIGRTMIN+5   trims glibc's heap: what would a trim at rest leave?
//   SIGRTMIN+6   writes how much malloc has handed out of its arenas: what is in use there, holes smaller than a page aside?
//   SIGRTMIN+8   gives back the tops of all arenas, which a trim leaves but for one, and trims: what is left then is live
//   SIGRTMIN+9   in each thread, for that
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// free() gives back the top of the block's arena where the block is larger than 64 KiB, and the top than the threshold.
enum { BLOCK = 70000, THREADS = 16 };

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
    int length = snprintf(line, sizeof line, "probe: pid=%d in_use=%zu\n", getpid(), handed_out());
    if (write(STDERR_FILENO, line, length) < 0)
        return;
}

// A compiler leaves out what is allocated and freed, and not used.
static void *block(void)
{
    char *block = malloc(BLOCK);
    if (block)
        *(volatile char *)block = 0;
    return block;
}

// That of the calling thread's arena.
static void give_back_top(int number)
{
    (void)number;
    free(block());
}

static pthread_barrier_t all_have_one;

// The arenas of threads that have ended are given to the next ones that start.
static void *give_back_another(void *unused)
{
    void *mine = block();
    pthread_barrier_wait(&all_have_one);
    free(mine);
    return unused;
}

static void give_back_tops(int number)
{
    char line[64];
    DIR *threads = opendir("/proc/self/task");
    if (!threads)
        return;
    mallopt(M_TRIM_THRESHOLD, 0);
    mallopt(M_TOP_PAD, 0);
    for (struct dirent *thread; (thread = readdir(threads));) {
        pid_t tid = atoi(thread->d_name);
        if (tid && tid != (pid_t)syscall(SYS_gettid))
            syscall(SYS_tgkill, getpid(), tid, SIGRTMIN + 9);
    }
    closedir(threads);
    give_back_top(number);
    pthread_t started[THREADS];
    pthread_barrier_init(&all_have_one, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&started[i], NULL, give_back_another, NULL))
            _exit(70);
    for (int i = 0; i < THREADS; i++)
        pthread_join(started[i], NULL);
    // The others have been signalled; they only need a CPU.
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    malloc_trim(0);
    int length = snprintf(line, sizeof line, "probe: pid=%d tops\n", getpid());
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
    install(SIGRTMIN + 8, give_back_tops);
    install(SIGRTMIN + 9, give_back_top);
}
