// SPDX-License-Identifier: GPL-2.0
/*
 * Strings of the caller, byte by byte: reading a word at a time would look past the end of the string, where the
 * host's memory may end. A null pointer is a caller's mistake of the common kind, and is told as on a machine.
 */
#include <linux/string.h>
#include <linux/uaccess.h>

/* Or a little beyond one: a member of a structure that is not there. */
static bool is_null(const char __user *pointer)
{
	return (unsigned long)pointer < PAGE_SIZE;
}

long strncpy_from_user(char *to, const char __user *from, long count)
{
	size_t len;

	if (count <= 0)
		return 0;
	if (is_null(from))
		return -EFAULT;
	len = strnlen((const char __force *)from, count);
	memcpy(to, (const void __force *)from, len);
	if (len < count)
		to[len] = 0;
	return len;
}

long strnlen_user(const char __user *s, long count)
{
	if (count <= 0 || is_null(s))
		return 0;
	return strnlen((const char __force *)s, count) + 1;
}
