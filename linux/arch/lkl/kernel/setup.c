// SPDX-License-Identifier: GPL-2.0
/* What start_kernel() asks the architecture first: memory and the command line. */
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <asm/lkl.h>
#include <asm/sections.h>
#include <asm/setup.h>

unsigned long lkl_pool_base;
unsigned long lkl_pool_size;

/*
 * What the host has for Linux's random numbers: digits in hexadecimal, 64 of them for as good ones as there are. The same digits
 * and the same clock make the same numbers, for a simulation. The command line keeps none of them.
 */
static int __init take_seed(char *digits)
{
	u8 seed[64];
	size_t len = digits ? min(strlen(digits) / 2, sizeof(seed)) : 0;
	char *word;

	if (!len || hex2bin(seed, digits, len))
		return -EINVAL;
	add_bootloader_randomness(seed, len);
	memzero_explicit(seed, sizeof(seed));
	memset(digits, 'x', strlen(digits));
	word = strstr(boot_command_line, "lkl_seed=");
	for (word = word ? strchr(word, '=') + 1 : ""; *word && *word != ' '; word++)
		*word = 'x';
	return 0;
}
early_param("lkl_seed", take_seed);

void __init setup_arch(char **command_line)
{
	unsigned long max_pfn_of_zone[MAX_NR_ZONES] = { 0 };

	/* What goes wrong from here on ends the boot. */
	lkl_panic_init();
	if (IS_ENABLED(CONFIG_KASAN))
		kasan_init();
	*command_line = boot_command_line;

	memblock_add(0, lkl_pool_size);
	min_low_pfn = 0;
	max_low_pfn = PFN_DOWN(lkl_pool_size);
	max_pfn = max_low_pfn;
	high_memory = __va(lkl_pool_size);

	parse_early_param();

	empty_zero_page = memblock_alloc(PAGE_SIZE, PAGE_SIZE);
	if (!empty_zero_page)
		panic("no memory for the page of zeroes");
	max_pfn_of_zone[ZONE_NORMAL] = max_low_pfn;
	free_area_init(max_pfn_of_zone);
}

/* A delay loop is a nanosecond (kernel/delay.c), nothing is to be measured. */
void calibrate_delay(void)
{
	loops_per_jiffy = NSEC_PER_SEC / HZ;
}

static void *cpuinfo_start(struct seq_file *m, loff_t *pos)
{
	return *pos < 1 ? (void *)1 : NULL;
}

static void *cpuinfo_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return cpuinfo_start(m, pos);
}

static void cpuinfo_stop(struct seq_file *m, void *v)
{
}

static int cpuinfo_show(struct seq_file *m, void *v)
{
	seq_puts(m, "processor\t: 0\nmodel name\t: virtual, one for the library\n");
	return 0;
}

const struct seq_operations cpuinfo_op = {
	.start	= cpuinfo_start,
	.next	= cpuinfo_next,
	.stop	= cpuinfo_stop,
	.show	= cpuinfo_show,
};
