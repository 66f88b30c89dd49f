/* A name server that does not answer: getaddrinfo() sleeps, then fails. Numeric addresses resolve as always.
 * FAULTS_RESOLVER_SECONDS says how long it sleeps; the file FAULTS_SHIM_MARK is made when that happens, so that a
 * scenario can tell that it tested something. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*resolve)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    unsigned char address[16];
    if (node == NULL || inet_pton(AF_INET, node, address) == 1 || inet_pton(AF_INET6, node, address) == 1) {
        return ((resolve)dlsym(RTLD_NEXT, "getaddrinfo"))(node, service, hints, found);
    }
    const char *mark = getenv("FAULTS_SHIM_MARK"), *seconds = getenv("FAULTS_RESOLVER_SECONDS");
    if (mark != NULL) {
        int made = open(mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (made >= 0) close(made);
    }
    sleep(seconds == NULL ? 30 : (unsigned)atoi(seconds));
    return EAI_AGAIN;
}
