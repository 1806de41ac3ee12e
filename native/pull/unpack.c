/* Decompressing a layer, and the digests by which an image names it. Sources: RFC 1952 (gzip), RFC 8878 (zstd), FIPS 180-4 (SHA-256). */
#include "pull.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbedtls/sha256.h>
#include <zlib.h>
#include <zstd.h>

static unsigned char input[128 << 10];
static unsigned char output[256 << 10];
/* Bytes that may still come out: a small layer can hold more than the guest has memory for. */
static unsigned long long remaining;

static size_t read_some(void)
{
	for (;;) {
		ssize_t count = read(3, input, sizeof input);
		if (count >= 0)
			return (size_t)count;
		if (errno != EINTR)
			fail(EXIT_SYSTEM, "read: %s", strerror(errno));
	}
}

static void print_digest(mbedtls_sha256_context *context)
{
	unsigned char digest[32];
	char line[65];
	mbedtls_sha256_finish(context, digest);
	for (int i = 0; i < 32; i++)
		sprintf(line + 2 * i, "%02x", digest[i]);
	line[64] = '\n';
	write_all(1, line, sizeof line);
}

static void emit(mbedtls_sha256_context *plain, const unsigned char *bytes, size_t length)
{
	if (length > remaining)
		fail(EXIT_MALFORMED, "the layer is larger than the guest has room for");
	remaining -= length;
	mbedtls_sha256_update(plain, bytes, length);
	write_all(4, bytes, length);
}

/* Inflates what is in `input`. Returns whether the stream is between two members. */
static int inflate_some(z_stream *stream, mbedtls_sha256_context *plain, size_t length, int between)
{
	stream->next_in = input;
	stream->avail_in = (uInt)length;
	do {
		if (between && inflateReset(stream) != Z_OK)
			fail(EXIT_SYSTEM, "no memory to decompress");
		stream->next_out = output;
		stream->avail_out = sizeof output;
		int result = inflate(stream, Z_NO_FLUSH);
		/* Z_BUF_ERROR: there was nothing left to do. */
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			fail(EXIT_MALFORMED, "gzip: %s", stream->msg == NULL ? "the data is damaged" : stream->msg);
		emit(plain, output, sizeof output - stream->avail_out);
		between = result == Z_STREAM_END;
	} while (stream->avail_in > 0 || (!between && stream->avail_out == 0));
	return between;
}

/* The same for zstd, whose frames follow each other, too. */
static int zstd_some(ZSTD_DCtx *context, mbedtls_sha256_context *plain, size_t length, int between)
{
	ZSTD_inBuffer in = { input, length, 0 };
	ZSTD_outBuffer out;
	do {
		out = (ZSTD_outBuffer){ output, sizeof output, 0 };
		size_t left = ZSTD_decompressStream(context, &out, &in);
		if (ZSTD_isError(left))
			fail(EXIT_MALFORMED, "zstd: %s", ZSTD_getErrorName(left));
		emit(plain, output, out.pos);
		between = left == 0;
	} while (in.pos < in.size || (!between && out.pos == out.size));
	return between;
}

int unpack(const char *format, const char *most)
{
	char *end;
	errno = 0;
	remaining = strtoull(most, &end, 10);
	if (errno != 0 || end == most || *end != '\0')
		fail(EXIT_USAGE, "not a number of bytes: %s", most);
	int gzip = strcmp(format, "gzip") == 0;
	int zstd = strcmp(format, "zstd") == 0;
	if (!gzip && !zstd && strcmp(format, "none") != 0)
		fail(EXIT_USAGE, "unknown compression %s", format);
	mbedtls_sha256_context compressed, plain;
	mbedtls_sha256_init(&compressed);
	mbedtls_sha256_init(&plain);
	mbedtls_sha256_starts(&compressed, 0);
	mbedtls_sha256_starts(&plain, 0);
	z_stream stream = { 0 };
	/* 16: only gzip's framing. */
	if (gzip && inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
		fail(EXIT_SYSTEM, "no memory to decompress");
	ZSTD_DCtx *frames = zstd ? ZSTD_createDCtx() : NULL;
	if (zstd && frames == NULL)
		fail(EXIT_SYSTEM, "no memory to decompress");
	int between = 0;
	for (size_t length; (length = read_some()) > 0;) {
		mbedtls_sha256_update(&compressed, input, length);
		if (gzip)
			between = inflate_some(&stream, &plain, length, between);
		else if (zstd)
			between = zstd_some(frames, &plain, length, between);
		else
			emit(&plain, input, length);
	}
	if ((gzip || zstd) && !between)
		fail(EXIT_MALFORMED, "%s: the data ends too early", format);
	print_digest(&compressed);
	print_digest(&plain);
	return 0;
}
