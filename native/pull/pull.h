/* kata-pull: what pulling an image needs and TypeScript is too slow for, or must not do by itself. */
#ifndef KATA_PULL_H
#define KATA_PULL_H

#include <stddef.h>

/* Exit statuses, besides 0. src/agent/image/pull-program.ts reads them. */
enum {
	EXIT_SYSTEM = 1,    /* a read, write or lack of memory; stderr says which */
	EXIT_USAGE = 2,
	EXIT_MALFORMED = 3, /* the data is not what it should be */
	EXIT_UNTRUSTED = 4, /* the other side is not who it should be */
};

/* Prints the message and ends the program. */
_Noreturn void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes all of it. */
void write_all(int fd, const void *bytes, size_t length);

/* Descriptor 3, decompressed, to descriptor 4; then the digests of both to stdout, a line each. */
int unpack(const char *format, const char *most);

/* Carries what is plain on descriptor 4 to and from `host`, encrypted, on descriptor 3, if one of the authorities in the file on
 * descriptor 5 vouches for it. */
int speak_tls(const char *host);

/* Ends with 0 if descriptor 5 has a signature of SHA-256 over descriptor 4 by the public key, PEM or DER, in descriptor 3. */
int verify_signature(void);

#endif
