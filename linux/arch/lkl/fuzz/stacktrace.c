// SPDX-License-Identifier: GPL-2.0
/*
 * The calling thread's stack, by frame pointers.
 *
 * A task runs on the stack of a host thread, under frames of the host's whose frame pointer is anything. The walk ends at
 * the first return address that is not in Linux: up to there each frame is one of Linux's, whose caller has left its frame
 * pointer. The stack of another task is out of sight.
 */
#include <linux/sched.h>
#include <linux/stacktrace.h>
#include <asm/sections.h>

struct frame {
	const struct frame *next;
	unsigned long return_address;
};

static bool in_linux(unsigned long address)
{
	return address >= (unsigned long)_stext && address < (unsigned long)_etext;
}

noinline __no_sanitize_address void arch_stack_walk(stack_trace_consume_fn consume, void *cookie, struct task_struct *task,
						    struct pt_regs *regs)
{
	const struct frame *frame = __builtin_frame_address(0);

	if (task && task != current)
		return;
	while (in_linux(frame->return_address) && consume(cookie, frame->return_address) && frame->next > frame)
		frame = frame->next;
}
