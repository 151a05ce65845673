// What a call costs: the program that scripts/bench-calls runs plain and under the library. Each mode prints numbers.
//
//   count            under callgrind: one dump of instructions for each call, named "group|call"
//   read N           CPU ns of a 1-byte read of /dev/null
//   look N           CPU ns of one look at RSS, as src/sys/memory.rs takes it
//   fault N          CPU ns by which the first write to a page of the heap that was given back is dearer than the next
//   live N           CPU ms of a malloc_trim that finds nothing in a heap of N holes, one per 4 KB, and of mallinfo2 there: medians
//   epoll N          CPU ns of one request of a server that waits in epoll_wait, client included
//   blocking N       the same where it waits in recv
//   malloc N         the longest malloc or free of another thread beside each of N trims, in µs: median and longest
//   spawn N LIB...   median µs from posix_spawn of `true` to its end, plain and with each LIB preloaded, alternating
//   memory           KB: resident, proportional and private dirty memory of this process
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

// Each call is made once unmeasured (its symbol is bound then), and so many times more.
enum { ROUNDS = 100, ANSWER = 64 };

static void check(int good, const char *what) {
    if (!good) {
        perror(what);
        exit(1);
    }
}

// Counts the instructions of `call` alone: `before` and `after` run uncounted around it.
#define COUNT(name, before, call, after)     \
    do {                                     \
        for (int i = 0; i <= ROUNDS; i++) {  \
            before;                          \
            if (i == 1)                      \
                CALLGRIND_ZERO_STATS;        \
            CALLGRIND_TOGGLE_COLLECT;        \
            call;                            \
            CALLGRIND_TOGGLE_COLLECT;        \
            after;                           \
        }                                    \
        CALLGRIND_DUMP_STATS_AT(name);       \
    } while (0)

// A server and its only client, both here: a call on `server` is one on a followed descriptor.
struct connection {
    int listener, epoll, server, client;
};

static struct connection serve(void) {
    struct connection c;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int on = 1;
    c.listener = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(c.listener, (struct sockaddr *)&address, length) == 0, "bind");
    check(listen(c.listener, 16) == 0, "listen");
    check(getsockname(c.listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    c.client = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(c.client, (struct sockaddr *)&address, length) == 0, "connect");
    c.server = accept(c.listener, NULL, NULL);
    check(c.server >= 0, "accept");
    setsockopt(c.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c.server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c.epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    check(epoll_ctl(c.epoll, EPOLL_CTL_ADD, c.server, &event) == 0, "epoll_ctl");
    return c;
}

static char buffer[ANSWER], answered[ANSWER] = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n";

static void ask(struct connection c) { check(write(c.client, "?", 1) == 1, "ask"); }
static void take_question(struct connection c) { check(recv(c.server, buffer, sizeof buffer, 0) == 1, "recv"); }
static void answer(struct connection c) { check(send(c.server, answered, ANSWER, 0) == ANSWER, "send"); }
static void take_answer(struct connection c) {
    check(recv(c.client, buffer, sizeof buffer, MSG_WAITALL) == ANSWER, "answer");
}

static void request(struct connection c) {
    ask(c);
    take_question(c);
    answer(c);
    take_answer(c);
}

// Calls that find something at once, so that nothing waits. `ready` is an epoll descriptor with an event, `readable` is
// readable for ever.
#define COUNT_WAITS(group, before, ready, readable)                                                       \
    do {                                                                                                  \
        struct epoll_event event;                                                                         \
        struct pollfd polled = {.fd = readable, .events = POLLIN};                                        \
        const struct timespec second = {.tv_sec = 1};                                                     \
        struct timeval left;                                                                              \
        fd_set set;                                                                                       \
        before;                                                                                           \
        COUNT(group "|epoll_wait, timeout 0", before, epoll_wait(ready, &event, 1, 0), );                 \
        COUNT(group "|epoll_wait, timeout 1 s", before, epoll_wait(ready, &event, 1, 1000), );            \
        COUNT(group "|epoll_wait, no timeout", before, epoll_wait(ready, &event, 1, -1), );               \
        COUNT(group "|epoll_pwait", before, epoll_pwait(ready, &event, 1, 1000, NULL), );                 \
        COUNT(group "|poll, timeout 0", before, poll(&polled, 1, 0), );                                   \
        COUNT(group "|poll, timeout 1 s", before, poll(&polled, 1, 1000), );                              \
        COUNT(group "|ppoll", before, ppoll(&polled, 1, &second, NULL), );                                \
        COUNT(group "|select",                                                                            \
              before; FD_ZERO(&set); FD_SET(readable, &set); left = (struct timeval){.tv_sec = 1},        \
              select(readable + 1, &set, NULL, NULL, &left), );                                           \
        COUNT(group "|pselect", before; FD_ZERO(&set); FD_SET(readable, &set),                            \
              pselect(readable + 1, &set, NULL, NULL, &second, NULL), );                                  \
    } while (0)

#define COUNT_ACCEPTS(group, before, listener)                                                            \
    do {                                                                                                  \
        COUNT(group "|accept, EAGAIN", before, accept(listener, NULL, NULL), );                           \
        COUNT(group "|accept4, EAGAIN", before, accept4(listener, NULL, NULL, SOCK_CLOEXEC), );           \
    } while (0)

static void count_unfollowed(int null, int pair[2], int zero) {
    struct iovec part = {.iov_base = buffer, .iov_len = 1};
    char control[CMSG_SPACE(sizeof(struct timeval))];
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int file = open("/proc/self/exe", O_RDONLY), pipes[2], sink[2];
    check(pipe(pipes) == 0 && pipe(sink) == 0, "pipe");
    check(write(pipes[1], buffer, sizeof buffer) > 0, "pipe");
    int spare = dup(null), fd = -1;
    char drain[256];
#define GIVE check(write(pair[1], "x", 1) == 1, "give")
#define DRAIN check(read(pair[1], drain, sizeof drain) > 0, "drain")

    COUNT("not followed|read", , read(null, buffer, 1), );
    COUNT("not followed|readv", , readv(null, &part, 1), );
    COUNT("not followed|recv", GIVE, recv(pair[0], buffer, 1, 0), );
    COUNT("not followed|recvfrom", GIVE, recvfrom(pair[0], buffer, 1, 0, NULL, NULL), );
    COUNT("not followed|recvmsg", GIVE, recvmsg(pair[0], &message, 0), );
    COUNT("not followed|recvmsg, control", GIVE; message.msg_control = control; message.msg_controllen = sizeof control,
          recvmsg(pair[0], &message, 0), message.msg_control = NULL);
    message.msg_controllen = 0;
    struct mmsghdr messages = {.msg_hdr = message};
    COUNT("not followed|recvmmsg", GIVE, recvmmsg(pair[0], &messages, 1, 0, NULL), );
    COUNT("not followed|preadv2", , preadv2(null, &part, 1, -1, 0), );
    COUNT("not followed|pwritev2", , pwritev2(null, &part, 1, -1, 0), );
    COUNT("not followed|sendmmsg", , sendmmsg(pair[0], &messages, 1, 0), DRAIN);
    COUNT("not followed|write", , write(null, buffer, 1), );
    COUNT("not followed|writev", , writev(null, &part, 1), );
    COUNT("not followed|send", , send(pair[0], buffer, 1, 0), DRAIN);
    COUNT("not followed|sendto", , sendto(pair[0], buffer, 1, 0, NULL, 0), DRAIN);
    COUNT("not followed|sendmsg", , sendmsg(pair[0], &message, 0), DRAIN);
    COUNT("not followed|sendfile", , sendfile(pair[0], file, NULL, 1), DRAIN);
    COUNT("not followed|splice", , splice(zero, NULL, sink[1], NULL, 1, 0), check(read(sink[0], drain, 1) == 1, "splice"));
    COUNT("not followed|close", fd = dup(null), close(fd), );
    COUNT("not followed|close_range", , close_range(900, 910, 0), );
    COUNT("not followed|dup2", , dup2(null, spare), );
    COUNT("not followed|dup3", , dup3(null, spare, O_CLOEXEC), );
    COUNT("not followed|connect, refused", fd = socket(AF_INET, SOCK_STREAM, 0),
          connect(fd, (struct sockaddr *)&nobody, sizeof nobody), close(fd));
    COUNT("not followed|prctl", , prctl(PR_GET_DUMPABLE), );
    COUNT("not followed|syscall(SYS_getpid)", , syscall(SYS_getpid), );
    COUNT("few call|syscall(SYS_write), not followed", , syscall(SYS_write, null, buffer, 1), );
    COUNT("not followed|syscall(SYS_close)", fd = dup(null), syscall(SYS_close, fd), );
}

// Under valgrind the kernel does not tell of stack that was never used, and where none is left nothing is trimmed.
static __attribute__((noinline)) void use_stack(void) {
    volatile char stack[64 << 10];
    for (size_t i = 0; i < sizeof stack; i += 1024)
        stack[i] = 1;
}

static int count(void) {
    use_stack();
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), pair[2], pipes[2], idle[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipes) == 0 && pipe(idle) == 0, "pair");
    check(write(pipes[1], "x", 1) == 1, "write");
    struct epoll_event event = {.events = EPOLLIN};
    int ready = epoll_create1(0);
    check(epoll_ctl(ready, EPOLL_CTL_ADD, pipes[0], &event) == 0, "epoll_ctl");

    count_unfollowed(null, pair, zero);
    COUNT_WAITS("not followed", , ready, pipes[0]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    check(listen(listener, 1) == 0, "listen");
    COUNT_ACCEPTS("not followed", , listener);
    COUNT_WAITS("listens", , ready, pipes[0]);

    struct connection c = serve();
    request(c);
    // An event loop waits before each receive. Who does not may be about to wait in it.
    struct pollfd something = {.fd = pipes[0], .events = POLLIN};
#define WAIT check(poll(&something, 1, 1000) == 1, "poll")
    COUNT("followed|recv, begins a request", ask(c); WAIT, recv(c.server, buffer, 1, 0), answer(c); take_answer(c));
    COUNT("may wait|recv, begins a request", ask(c), recv(c.server, buffer, 1, 0), answer(c); take_answer(c));
    COUNT("followed|recv, goes on", ask(c); take_question(c); ask(c), recv(c.server, buffer, 1, 0),
          answer(c); take_answer(c));
    fcntl(c.server, F_SETFL, O_NONBLOCK);
    COUNT("followed|recv, EAGAIN", WAIT, recv(c.server, buffer, 1, 0), );
    COUNT("followed|read, EAGAIN", WAIT, read(c.server, buffer, 1), );
    COUNT("may wait|recv, EAGAIN", , recv(c.server, buffer, 1, 0), );
    COUNT("may wait|read, EAGAIN", , read(c.server, buffer, 1), );
    COUNT("followed|send, answers", ask(c); take_question(c), send(c.server, answered, ANSWER, 0), take_answer(c));
    COUNT("followed|send, goes on", , send(c.server, answered, ANSWER, 0), take_answer(c));
    struct iovec parts[2] = {{.iov_base = answered, .iov_len = 32}, {.iov_base = answered + 32, .iov_len = ANSWER - 32}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    COUNT("followed|write, answers", ask(c); take_question(c), write(c.server, answered, ANSWER), take_answer(c));
    COUNT("followed|writev, answers", ask(c); take_question(c), writev(c.server, parts, 2), take_answer(c));
    COUNT("followed|sendmsg, answers", ask(c); take_question(c), sendmsg(c.server, &message, 0), take_answer(c));
    struct mmsghdr messages = {.msg_hdr = message};
    COUNT("few call|sendmmsg, answers", ask(c); take_question(c), sendmmsg(c.server, &messages, 1, 0), take_answer(c));
    COUNT("few call|pwritev2, answers", ask(c); take_question(c), pwritev2(c.server, parts, 2, -1, 0), take_answer(c));
    COUNT("few call|syscall(SYS_write), answers", ask(c); take_question(c),
          syscall(SYS_write, c.server, answered, ANSWER), take_answer(c));
    COUNT("few call|recvmmsg, begins a request", ask(c), recvmmsg(c.server, &messages, 1, MSG_DONTWAIT, NULL),
          answer(c); take_answer(c));
    struct connection other;
    COUNT("followed|close", other = serve(), close(other.server), close(other.client); close(other.epoll);
          close(other.listener));

    // The first wait after an answer, and those of the quiet moment that follows: nothing is due, and one thread
    // watches for quiet.
    COUNT_WAITS("after an answer", request(c), ready, pipes[0]);
    COUNT_ACCEPTS("after an answer", request(c), listener);

    // Quiet for longer than AUTOTRIM_IDLE, and a look: the server is at rest.
    struct pollfd nothing = {.fd = idle[0], .events = POLLIN};
    poll(&nothing, 1, 1500);
    COUNT_WAITS("server at rest", , ready, pipes[0]);
    COUNT_ACCEPTS("server at rest", , listener);
    printf("%d\n", ROUNDS);
    return 0;
}

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

// CPU time, so that what else the machine does is not in it.
#define PRINT_CPU_TIME(rounds, work)                                   \
    do {                                                               \
        double start = now(CLOCK_PROCESS_CPUTIME_ID);                  \
        for (long i = 0; i < (rounds); i++)                            \
            work;                                                      \
        double end = now(CLOCK_PROCESS_CPUTIME_ID);                    \
        printf("%.2f\n", (end - start) / (rounds));                    \
        return 0;                                                      \
    } while (0)

static int time_read(long rounds) {
    int null = open("/dev/null", O_RDONLY);
    PRINT_CPU_TIME(rounds, read(null, buffer, 1));
}

static void look(void) {
    char statm[96];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    check(pread(file, statm, sizeof statm, 0) > 0, "statm");
    check(fcntl(file, F_GETFL) >= 0, "statm");
    close(file);
}

static int time_look(long rounds) { PRINT_CPU_TIME(rounds, look()); }

static double write_to_pages(char *pages, long count) {
    double start = now(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < count; i++)
        ((volatile char *)pages)[i * 4096] = 1;
    return (now(CLOCK_PROCESS_CPUTIME_ID) - start) / count;
}

static int time_fault(long count) {
    char *pages = mmap(NULL, count * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(pages != MAP_FAILED, "mmap");
    // As heaps are where nobody asks for huge pages.
    madvise(pages, count * 4096, MADV_NOHUGEPAGE);
    write_to_pages(pages, count);
    check(madvise(pages, count * 4096, MADV_DONTNEED) == 0, "madvise");
    double first = write_to_pages(pages, count);
    printf("%.2f\n", first - write_to_pages(pages, count));
    return 0;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define MEDIAN_CPU_TIME(work)                                          \
    ({                                                                 \
        double times[9];                                               \
        for (int i = 0; i < 9; i++) {                                  \
            double start = now(CLOCK_PROCESS_CPUTIME_ID);              \
            work;                                                      \
            times[i] = now(CLOCK_PROCESS_CPUTIME_ID) - start;          \
        }                                                              \
        qsort(times, 9, sizeof *times, ascending);                     \
        times[4];                                                      \
    })

static int time_live(long holes) {
    // Between two blocks in use a free one, none of which holds a whole page.
    enum { BLOCK = 2048 };
    char **blocks = malloc(2 * holes * sizeof *blocks);
    for (long i = 0; i < 2 * holes; i++)
        memset(blocks[i] = malloc(BLOCK), 1, BLOCK);
    for (long i = 0; i < 2 * holes; i += 2)
        free(blocks[i]);
    malloc_trim(0);
    double trim = MEDIAN_CPU_TIME(malloc_trim(0));
    size_t live = 0;
    double asked = MEDIAN_CPU_TIME(live += mallinfo2().uordblks);
    check(live / 9 >= (size_t)holes * BLOCK, "mallinfo2");
    printf("%.3f %.3f\n", trim / 1e6, asked / 1e6);
    return 0;
}

static void wait_and_serve(struct connection c) {
    struct epoll_event event;
    ask(c);
    check(epoll_wait(c.epoll, &event, 1, -1) == 1, "epoll_wait");
    take_question(c);
    answer(c);
    take_answer(c);
}

static int time_epoll(long rounds) {
    struct connection c = serve();
    wait_and_serve(c);
    PRINT_CPU_TIME(rounds, wait_and_serve(c));
}

static int time_blocking(long rounds) {
    struct connection c = serve();
    request(c);
    PRINT_CPU_TIME(rounds, request(c));
}

// Threads with arenas of their own, of which one works on: on a machine of two CPUs no more than that can, beside who trims.
enum { ALLOCATING = 4, BLOCKS = 20000, LARGEST = 16 << 10, WORKING = 1000 };
static _Atomic double longest;
static atomic_bool over;
static pthread_barrier_t allocated;

static void *allocate(void *works) {
    static char *block[ALLOCATING][BLOCKS];
    static atomic_int threads;
    char **own = block[threads++];
    unsigned seed = 1;
    for (int i = 0; i < BLOCKS; i++)
        check((own[i] = malloc(64 + rand_r(&seed) % LARGEST)) != NULL, "malloc");
    for (int i = WORKING; i < BLOCKS; i++)
        if (i % 16 != 0)
            free(own[i]);
    pthread_barrier_wait(&allocated);
    while (!over && works == NULL)
        usleep(1000);
    while (!over) {
        int i = rand_r(&seed) % WORKING;
        double start = now(CLOCK_MONOTONIC);
        free(own[i]);
        own[i] = malloc(64 + rand_r(&seed) % LARGEST);
        double took = now(CLOCK_MONOTONIC) - start;
        *own[i] = 1;
        if (took > longest)
            longest = took;
    }
    return NULL;
}

static int time_malloc(long rounds) {
    pthread_t thread[ALLOCATING];
    struct epoll_event event;
    double *times = calloc(rounds, sizeof *times);
    struct connection c = serve();
    check(pthread_barrier_init(&allocated, NULL, ALLOCATING + 1) == 0, "pthread_barrier_init");
    for (long i = 0; i < ALLOCATING; i++)
        check(pthread_create(&thread[i], NULL, allocate, i == 0 ? &c : NULL) == 0, "pthread_create");
    pthread_barrier_wait(&allocated);
    for (long i = 0; i < rounds; i++) {
        request(c);
        longest = 0;
        // The trim, and a moment for a call that it held up.
        epoll_wait(c.epoll, &event, 1, 2);
        times[i] = longest;
    }
    over = true;
    for (int i = 0; i < ALLOCATING; i++)
        pthread_join(thread[i], NULL);
    qsort(times, rounds, sizeof *times, ascending);
    printf("%.1f %.1f\n", times[rounds / 2] / 1e3, times[rounds - 1] / 1e3);
    return 0;
}

static int time_spawn(long rounds, int libraries, char **library) {
    double *times[8] = {0};
    char preload[8][4096];
    check(libraries < 7, "too many libraries");
    for (int v = 0; v <= libraries; v++) {
        times[v] = calloc(rounds, sizeof(double));
        if (v > 0)
            snprintf(preload[v], sizeof preload[v], "LD_PRELOAD=%s", library[v - 1]);
    }
    for (long i = -1; i < rounds; i++) {
        for (int v = 0; v <= libraries; v++) {
            char *arguments[] = {"true", NULL}, *environment[] = {v > 0 ? preload[v] : NULL, NULL};
            pid_t child;
            int status;
            double start = now(CLOCK_MONOTONIC);
            check(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environment) == 0, "posix_spawn");
            check(waitpid(child, &status, 0) == child && status == 0, "true");
            if (i >= 0) // The first of each fills the page cache.
                times[v][i] = now(CLOCK_MONOTONIC) - start;
        }
    }
    for (int v = 0; v <= libraries; v++) {
        qsort(times[v], rounds, sizeof(double), ascending);
        printf("%.1f ", times[v][rounds / 2] / 1e3);
    }
    puts("");
    return 0;
}

static int memory(void) {
    static char text[4096];
    const char *names[] = {"Rss:", "Pss:", "Private_Dirty:"};
    int file = open("/proc/self/smaps_rollup", O_RDONLY);
    check(read(file, text, sizeof text - 1) > 0, "smaps_rollup");
    close(file);
    for (int i = 0; i < 3; i++) {
        const char *line = strstr(text, names[i]);
        check(line != NULL, names[i]);
        printf("%ld ", strtol(line + strlen(names[i]), NULL, 10));
    }
    puts("");
    return 0;
}

int main(int count_of, char **arguments) {
    const char *mode = count_of > 1 ? arguments[1] : "";
    long rounds = count_of > 2 ? atol(arguments[2]) : 1;
    if (strcmp(mode, "count") == 0)
        return count();
    if (strcmp(mode, "read") == 0)
        return time_read(rounds);
    if (strcmp(mode, "look") == 0)
        return time_look(rounds);
    if (strcmp(mode, "fault") == 0)
        return time_fault(rounds);
    if (strcmp(mode, "live") == 0)
        return time_live(rounds);
    if (strcmp(mode, "epoll") == 0)
        return time_epoll(rounds);
    if (strcmp(mode, "blocking") == 0)
        return time_blocking(rounds);
    if (strcmp(mode, "malloc") == 0)
        return time_malloc(rounds);
    if (strcmp(mode, "spawn") == 0)
        return time_spawn(rounds, count_of - 3, arguments + 3);
    if (strcmp(mode, "memory") == 0)
        return memory();
    fputs("usage: calls count | read N | look N | fault N | live N | epoll N | blocking N | malloc N | spawn N LIBRARY... | memory\n", stderr);
    return 2;
}
