// SPDX-License-Identifier: GPL-2.0
/*
 * Strings of the caller, byte by byte: reading a word at a time would look past the end of the string, where the
 * host's memory may end.
 */
#include <linux/string.h>
#include <linux/uaccess.h>

long strncpy_from_user(char *to, const char __user *from, long count)
{
	size_t len;

	if (count <= 0)
		return 0;
	if (!access_ok(from, 1))
		return -EFAULT;
	len = strnlen((const char __force *)from, count);
	memcpy(to, (const void __force *)from, len);
	if (len < count)
		to[len] = 0;
	return len;
}

long strnlen_user(const char __user *s, long count)
{
	if (count <= 0 || !access_ok(s, 1))
		return 0;
	return strnlen((const char __force *)s, count) + 1;
}
