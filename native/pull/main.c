#include "pull.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fail(int status, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vdprintf(2, format, arguments);
	va_end(arguments);
	dprintf(2, "\n");
	exit(status);
}

void write_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;
	while (length > 0) {
		ssize_t count = write(fd, at, length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			fail(EXIT_SYSTEM, "write: %s", strerror(errno));
		at += count;
		length -= (size_t)count;
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && strcmp(argv[1], "unpack") == 0)
		return unpack(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "tls") == 0)
		return speak_tls(argv[2]);
	if (argc == 2 && strcmp(argv[1], "verify") == 0)
		return verify_signature();
	fail(EXIT_USAGE, "usage: kata-pull unpack none|gzip|zstd MOST_BYTES | kata-pull tls HOST | kata-pull verify");
}
