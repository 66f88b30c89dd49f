/* A wall clock that can be set: CLOCK_REALTIME is off by what fault_clock_shift() was last given, in seconds. The
 * monotonic clocks are left alone. A program finds the function with ctypes.CDLL(None). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

typedef int (*read_clock)(clockid_t, struct timespec *);

static _Atomic long shift;
static _Atomic(read_clock) real;

void fault_clock_shift(long seconds) { atomic_store(&shift, seconds); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    read_clock next = atomic_load(&real);
    if (next == NULL) {
        next = (read_clock)dlsym(RTLD_NEXT, "clock_gettime");
        atomic_store(&real, next);
    }
    int result = next(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += atomic_load(&shift);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return (time_t)-1;
    if (out != NULL) *out = exact.tv_sec;
    return exact.tv_sec;
}
