// SPDX-License-Identifier: GPL-2.0
/* No assembly of ours needs the layout of a C structure; kbuild wants the file. */
#include <linux/kbuild.h>

int main(void)
{
	return 0;
}
