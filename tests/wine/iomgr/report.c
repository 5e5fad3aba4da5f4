/* SPDX-License-Identifier: GPL-2.0-only */
/* What was seen that must not be: kept until a test asks for it, the first lines if there are many. */
#include "iomgr.h"

static struct lock lock;
static char text[4096];
static ULONG used;

void report(const char *what)
{
	ULONG length = (ULONG)strlen(what);

	DbgPrint("iomgr: %s\n", what);
	acquire(&lock);
	if (used + length + 1 <= sizeof text) {
		RtlCopyMemory(text + used, what, length);
		used += length;
		text[used++] = '\n';
	}
	release(&lock);
}

/* Copies the lines, and forgets them; their bytes. */
ULONG report_read(char *out, ULONG room)
{
	ULONG bytes;

	acquire(&lock);
	bytes = used < room ? used : room;
	RtlCopyMemory(out, text, bytes);
	used = 0;
	release(&lock);
	return bytes;
}
