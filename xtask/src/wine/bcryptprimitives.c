/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests under Wine 8, which lacks this library: its one function that Rust's standard library calls. */
#include <stddef.h>

__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *buffer, unsigned long size);

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *buffer, size_t size)
{
	return SystemFunction036(buffer, (unsigned long)size);
}
