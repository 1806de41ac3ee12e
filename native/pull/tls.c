/*
 * A TLS connection on descriptor 3, whose plain side is the socket on descriptor 4. Whom to trust is in the file on descriptor 5:
 * certificates of authorities, PEM. Sources: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 5280 and 6125 (certificates and names).
 */
#include "pull.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>

enum {
	ENCRYPTED = 3,
	PLAIN = 4,
	AUTHORITIES = 5,
	/* A few times what the largest collection of authorities has. */
	MAX_AUTHORITIES_BYTES = 4 << 20,
};

static unsigned char buffer[16 << 10];

_Noreturn static void fail_tls(int status, const char *what, int error)
{
	char text[160];
	mbedtls_strerror(error, text, sizeof text);
	fail(status, "%s: %s", what, text);
}

static int send_encrypted(void *context, const unsigned char *bytes, size_t length)
{
	(void)context;
	ssize_t count = write(ENCRYPTED, bytes, length);
	if (count >= 0)
		return (int)count;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : -1;
}

static int receive_encrypted(void *context, unsigned char *bytes, size_t length)
{
	(void)context;
	ssize_t count = read(ENCRYPTED, bytes, length);
	if (count >= 0)
		return (int)count;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : -1;
}

static int wants(int result)
{
	return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static void wait_for(int result)
{
	struct pollfd encrypted = { .fd = ENCRYPTED, .events = result == MBEDTLS_ERR_SSL_WANT_WRITE ? POLLOUT : POLLIN };
	poll(&encrypted, 1, -1);
}

static void read_authorities(mbedtls_x509_crt *authorities)
{
	unsigned char *text = malloc(MAX_AUTHORITIES_BYTES + 1);
	size_t length = 0;
	if (text == NULL)
		fail(EXIT_SYSTEM, "no memory for certificates");
	for (;;) {
		ssize_t count = read(AUTHORITIES, text + length, MAX_AUTHORITIES_BYTES - length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			fail(EXIT_SYSTEM, "read certificates: %s", strerror(errno));
		if (count == 0)
			break;
		length += (size_t)count;
	}
	text[length] = '\0';
	/* Positive: as many were not understood; the others are enough. */
	int result = mbedtls_x509_crt_parse(authorities, text, length + 1);
	if (result < 0)
		fail_tls(EXIT_UNTRUSTED, "certificates of authorities", result);
	free(text);
}

static void send_plain(mbedtls_ssl_context *tls, size_t length)
{
	for (size_t at = 0; at < length;) {
		int result = mbedtls_ssl_write(tls, buffer + at, length - at);
		if (wants(result))
			wait_for(result);
		else if (result < 0)
			fail_tls(EXIT_SYSTEM, "send", result);
		else
			at += (size_t)result;
	}
}

/* Hands over what has come. Returns whether there will be more. */
static int receive_plain(mbedtls_ssl_context *tls)
{
	for (;;) {
		int result = mbedtls_ssl_read(tls, buffer, sizeof buffer);
		if (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
			continue;
		if (wants(result))
			return 1;
		if (result == 0 || result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || result == MBEDTLS_ERR_SSL_CONN_EOF)
			return 0;
		if (result < 0)
			fail_tls(EXIT_SYSTEM, "receive", result);
		write_all(PLAIN, buffer, (size_t)result);
	}
}

static void shake_hands(mbedtls_ssl_context *tls)
{
	for (int result; (result = mbedtls_ssl_handshake(tls)) != 0;) {
		if (wants(result)) {
			wait_for(result);
			continue;
		}
		unsigned int flags = mbedtls_ssl_get_verify_result(tls);
		char why[512];
		if (result != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED ||
		    mbedtls_x509_crt_verify_info(why, sizeof why, "", flags) <= 0)
			fail_tls(EXIT_UNTRUSTED, "handshake", result);
		why[strcspn(why, "\n")] = '\0';
		fail(EXIT_UNTRUSTED, "%s", why);
	}
}

int speak_tls(const char *host)
{
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_ssl_config config;
	mbedtls_ssl_context tls;
	mbedtls_x509_crt authorities;
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	mbedtls_ssl_config_init(&config);
	mbedtls_ssl_init(&tls);
	mbedtls_x509_crt_init(&authorities);
	read_authorities(&authorities);
	int result = psa_crypto_init() == PSA_SUCCESS ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
	if (result == 0)
		result = mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0);
	if (result == 0)
		result = mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
						     MBEDTLS_SSL_PRESET_DEFAULT);
	if (result == 0) {
		mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
		mbedtls_ssl_conf_ca_chain(&config, &authorities, NULL);
		mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
		result = mbedtls_ssl_setup(&tls, &config);
	}
	if (result == 0)
		result = mbedtls_ssl_set_hostname(&tls, host);
	if (result != 0)
		fail_tls(EXIT_SYSTEM, "prepare", result);
	mbedtls_ssl_set_bio(&tls, NULL, send_encrypted, receive_encrypted, NULL);
	shake_hands(&tls);

	struct pollfd ends[] = { { .fd = PLAIN, .events = POLLIN }, { .fd = ENCRYPTED, .events = POLLIN } };
	while (receive_plain(&tls)) {
		poll(ends, 2, -1);
		if (ends[0].revents == 0)
			continue;
		ssize_t count = read(PLAIN, buffer, sizeof buffer);
		if (count < 0 && errno == EINTR)
			continue;
		/* Nobody is there any more. */
		if (count <= 0)
			break;
		send_plain(&tls, (size_t)count);
	}
	mbedtls_ssl_close_notify(&tls);
	return 0;
}
