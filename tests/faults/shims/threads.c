/* A system out of threads: pthread_create() fails with EAGAIN while fault_threads_refuse(1) holds. RLIMIT_NPROC would do
 * the same to any user but root. `fault_threads_refused()` is how often it happened. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

typedef int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static _Atomic int refuse, refused;

void fault_threads_refuse(int on) { atomic_store(&refuse, on); }
int fault_threads_refused(void) { return atomic_load(&refused); }

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    if (atomic_load(&refuse)) {
        atomic_fetch_add(&refused, 1);
        return EAGAIN;
    }
    return ((create)dlsym(RTLD_NEXT, "pthread_create"))(thread, attributes, body, argument);
}
