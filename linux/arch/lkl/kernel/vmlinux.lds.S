/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The script of the last link, `ld -r -T`, which turns vmlinux.o into one object of six sections.
 *
 * The result is not a program: the host's linker places it, as a part of a Linux program or of a PE image. So nothing
 * here has an address. Every symbol is assigned inside an output section, where it keeps its section through `ld -r`
 * (assigned between two sections it would become an absolute number), and every table that Linux walks from a start
 * to a stop symbol lies inside a section that is never empty, so that an empty table keeps both of its symbols.
 *
 *   .text         all code, init and exit code too: nothing is freed after boot
 *   .rodata       constants without addresses in them
 *   .data.rel.ro  constants with addresses: written by the loader only, then read-only (.rdata in a PE image)
 *   .data, .bss   the rest
 *   .eh_frame     what the Windows unwind tables are made from
 *
 * A section of Linux's that is not named here comes out as a seventh one, and the build refuses it by name: it must be
 * put where its kind belongs. The macros come from the tree's own asm-generic/vmlinux.lds.h, so that the script
 * follows the tree; what that header offers as whole output sections only is spelled out.
 *
 * No alignment above a page may be asked for: the sections of a PE image start at any multiple of a page.
 */
#define RO_AFTER_INIT_DATA	/* lies in .data: Linux writes it while it boots, and no one write-protects it later */

#include <asm/cache.h>
#include <asm/page.h>
#include <asm/thread_info.h>
#include <asm-generic/vmlinux.lds.h>

#define BOUNDED(section, start, stop)	start = .; KEEP(*(section)) stop = .;

OUTPUT_FORMAT(elf64-x86-64)
OUTPUT_ARCH(i386:x86-64)

SECTIONS
{
#ifdef CONFIG_LKL_FUZZ
	/* The compiler's own way to announce the tables of edges. fuzz/coverage.c gives them to the host instead. */
	/DISCARD/ : {
		*(.text.sancov.module_ctor_*)
		*(.init_array.2 .init_array.00002)
	}
#endif

	.text 0 : ALIGN(PAGE_SIZE) {
		_text = .;
		_stext = .;
		*(.head.text)
		TEXT_TEXT
		SCHED_TEXT
		LOCK_TEXT
#ifdef CPUIDLE_TEXT
		CPUIDLE_TEXT
#endif
		KPROBES_TEXT
		ENTRY_TEXT
		IRQENTRY_TEXT
		SOFTIRQENTRY_TEXT
		*(.fixup)
		_sinittext = .;
		INIT_TEXT
		_einittext = .;
		EXIT_TEXT
#ifdef CONFIG_LKL_FUZZ
		/* With a table of its edges each function has a section of its own. */
		*(.text.*)
#endif
		_etext = .;
	}

	.rodata 0 : ALIGN(PAGE_SIZE) {
		__start_rodata = .;
		*(.rodata .rodata.*)
		*(.rodata1)
		*(.ref.rodata)
		*(__tracepoints_strings)
		. = ALIGN(4);
		BOUNDED(.note.Linux, __start_notes, __stop_notes)
		. = ALIGN(8);
		QUAD(0)		/* never empty */
		__end_rodata = .;
	}

	.data.rel.ro 0 : ALIGN(PAGE_SIZE) {
		*(.data.rel.ro .data.rel.ro.*)
		SCHED_DATA
		. = ALIGN(8);
		BOUNDED(__tracepoints_ptrs, __start___tracepoints_ptrs, __stop___tracepoints_ptrs)
		. = ALIGN(8);
		BOUNDED(.builtin_fw, __start_builtin_fw, __end_builtin_fw)
		. = ALIGN(8);
		BOUNDED(__param, __start___param, __stop___param)
		. = ALIGN(8);
		BOUNDED(__modver, __start___modver, __stop___modver)
		INIT_SETUP(16)
		. = ALIGN(8);
		INIT_CALLS
		. = ALIGN(8);
		CON_INITCALL
#ifdef CONFIG_LKL_FUZZ
		. = ALIGN(8);
		BOUNDED(__sancov_pcs, lkl_edges_start, lkl_edges_stop)
#endif
		QUAD(0)		/* never empty */
	}

	.data 0 : ALIGN(PAGE_SIZE) {
		_data = .;
		_sdata = .;
		INIT_TASK_DATA(PAGE_SIZE)
		NOSAVE_DATA
		PAGE_ALIGNED_DATA(PAGE_SIZE)
		CACHELINE_ALIGNED_DATA(L1_CACHE_BYTES)
		READ_MOSTLY_DATA(L1_CACHE_BYTES)
		*(.data.rel .data.rel.local .data.rel.local.*)
		DATA_DATA
		. = ALIGN(8);
		__start_ro_after_init = .;
		*(.data..ro_after_init)
		JUMP_TABLE_DATA
		STATIC_CALL_DATA
		__end_ro_after_init = .;
		/* Linux sorts the one and marks entries of the other: both are written. */
		. = ALIGN(8);
		BOUNDED(__ex_table, __start___ex_table, __stop___ex_table)
		. = ALIGN(8);
		BOUNDED(__bug_table, __start___bug_table, __stop___bug_table)
		. = ALIGN(PAGE_SIZE);
		__per_cpu_load = .;
		PERCPU_INPUT(L1_CACHE_BYTES)
		. = ALIGN(PAGE_SIZE);
		__init_begin = .;
		INIT_DATA
		INIT_RAM_FS
		EXIT_DATA
		. = ALIGN(PAGE_SIZE);
		__init_end = .;
		_edata = .;
#ifdef CONFIG_LKL_FUZZ
		/* Outside of what is put back for the next boot: the fuzzer's. */
		BOUNDED(__sancov_cntrs, lkl_counters_start, lkl_counters_stop)
#endif
	}

	/* Two names for one variable: on a little-endian machine the low half of the 64-bit counter comes first. */
	jiffies = jiffies_64;

	.bss 0 : ALIGN(PAGE_SIZE) {
		__bss_start = .;
		BSS_FIRST_SECTIONS
		*(.bss..page_aligned)
		. = ALIGN(PAGE_SIZE);
		*(.dynbss)
		*(BSS_MAIN)
		*(COMMON)
		. = ALIGN(PAGE_SIZE);
		__bss_stop = .;
		_end = .;
	}

	.eh_frame 0 : ALIGN(8) {
		KEEP(*(.eh_frame))
	}

	/DISCARD/ : {
		EXIT_CALL
		COMMON_DISCARDS
		*(.comment)
		*(.note.gnu.property)
	}

	/* Without it a linker gives the program an executable stack. */
	.note.GNU-stack 0 : { *(.note.GNU-stack) }
}
