/* Whether a text is signed by a key. Sources: RFC 8017 (RSASSA-PKCS1-v1_5), FIPS 186-5 (ECDSA), RFC 5480 and 7468 (the key). */
#include "pull.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>

/* A byte is left for the NUL that Mbed TLS knows PEM by. */
static unsigned char key[(16 << 10) + 1];
static unsigned char text[64 << 10];
static unsigned char signature[4 << 10];

static size_t read_all(int fd, unsigned char *into, size_t most)
{
	size_t length = 0;
	for (;;) {
		unsigned char more;
		ssize_t count = length < most ? read(fd, into + length, most - length) : read(fd, &more, 1);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			fail(EXIT_SYSTEM, "read: %s", strerror(errno));
		if (count == 0)
			return length;
		if (length == most)
			fail(EXIT_MALFORMED, "more than %zu bytes", most);
		length += (size_t)count;
	}
}

int verify_signature(void)
{
	mbedtls_pk_context public;
	unsigned char hash[32];
	char why[128];
	size_t key_length = read_all(3, key, sizeof key - 1);
	size_t text_length = read_all(4, text, sizeof text);
	size_t signature_length = read_all(5, signature, sizeof signature);
	mbedtls_pk_init(&public);
	int is_pem = memmem(key, key_length, "-----BEGIN", 10) != NULL;
	int result = mbedtls_pk_parse_public_key(&public, key, key_length + (is_pem ? 1 : 0));
	if (result != 0) {
		mbedtls_strerror(result, why, sizeof why);
		fail(EXIT_MALFORMED, "public key: %s", why);
	}
	if (mbedtls_sha256(text, text_length, hash, 0) != 0)
		fail(EXIT_SYSTEM, "no memory for a digest");
	result = mbedtls_pk_verify(&public, MBEDTLS_MD_SHA256, hash, sizeof hash, signature, signature_length);
	if (result != 0) {
		mbedtls_strerror(result, why, sizeof why);
		fail(EXIT_UNTRUSTED, "signature: %s", why);
	}
	return 0;
}
