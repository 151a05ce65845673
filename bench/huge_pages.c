// A server whose heap has holes everywhere, at rest and then at work again: the program that scripts/bench-huge-pages runs plain and under the library.
// Prints megabytes at rest (the mean of the last ten seconds), and of each round of work: its CPU time in ms, that of reading alone, page faults, and megabytes in
// huge pages.
#include "../tests/fixtures/serve.h"
#include <malloc.h>
#include <sys/resource.h>

enum { BLOCKS = 400000, LIVE = 200, READS = 20000000, REST = 30, LAST = 10, ROUNDS = 10 };

static char *blocks[BLOCKS];

static void fill(void)
{
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i] == NULL) {
            size_t size = 100 + (size_t)(rand() % 1500);
            MUST((blocks[i] = malloc(size)) != NULL);
            memset(blocks[i], 1, size);
        }
}

static void drop(void)
{
    for (int i = 0; i < BLOCKS; i++)
        if (i % LIVE != 0) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
}

// As programs do whose data is larger than what the processor remembers of where pages are.
static long read_anywhere(void)
{
    unsigned place = 1;
    long sum = 0;
    for (int i = 0; i < READS; i++) {
        place = place * 1664525 + 1013904223;
        sum += blocks[place % BLOCKS][50];
    }
    return sum;
}

static double cpu_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static long huge_mb(void)
{
    char text[4096], *found;
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, text, sizeof text - 1);
    MUST(length > 0 && close(file) == 0);
    text[length] = 0;
    found = strstr(text, "AnonHugePages:");
    return found == NULL ? 0 : atol(found + strlen("AnonHugePages:")) / 1024;
}

int main(void)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    serve();
    fill();
    drop();
    answer();
    double held = 0;
    for (int second = 0; second < REST; second++) {
        poll(NULL, 0, 1000);
        if (second >= REST - LAST)
            held += (double)anonymous_kb() / 1024 / LAST;
    }
    printf("rest %.0f\n", held);
    for (int round = 0; round < ROUNDS; round++) {
        double began = cpu_ms(), reading;
        long before = faults(), huge, sum;
        fill();
        reading = cpu_ms();
        sum = read_anywhere();
        reading = cpu_ms() - reading;
        huge = huge_mb();
        drop();
        answer();
        poll(NULL, 0, 1);
        printf("round %.0f %.0f %ld %ld%s\n", cpu_ms() - began, reading, faults() - before, huge, sum == 0 ? " ?" : "");
        fflush(stdout);
    }
    return 0;
}
