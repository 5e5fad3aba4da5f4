// SPDX-License-Identifier: GPL-2.0
/* Busy waiting, on the host's clock. */
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/processor.h>
#include <vdso/time64.h>
#include <asm/lkl.h>

void __ndelay(unsigned long nsecs)
{
	unsigned long end = host(monotonic_ns) + nsecs;

	while ((long)(host(monotonic_ns) - end) < 0)
		cpu_relax();
}

void __udelay(unsigned long usecs)
{
	__ndelay(usecs * NSEC_PER_USEC);
}

/* A "loop" is a nanosecond, see calibrate_delay() in kernel/setup.c. */
void __delay(unsigned long loops)
{
	__ndelay(loops);
}
