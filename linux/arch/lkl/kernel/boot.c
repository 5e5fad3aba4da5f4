// SPDX-License-Identifier: GPL-2.0
/*
 * Booting: from the host's call to the first entry task.
 *
 * start_kernel() runs on a thread of its own, which becomes the idle task. The first kernel thread, process 1, does
 * what it does everywhere: it runs the initcalls and executes /init. Here /init is a file that an initcall put into
 * the root file system, of a binary format that this file knows. To execute it means that nothing is left to do: the
 * first process is now in "user mode", and user mode is the host.
 */
#include <linux/binfmts.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/init_syscalls.h>
#include <linux/namei.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/start_kernel.h>
#include <linux/string.h>
#include <linux/task_work.h>
#include <asm/lkl.h>
#include <asm/sections.h>
#include <asm/setup.h>

struct lkl_host_ops lkl_ops;

static void *boot_sem;
static bool boot_over;
struct task_struct *lkl_first_task;

/* Called by the first process, which leaves the CPU, or with NULL by death: the one that comes first wakes linux_boot(). */
void lkl_boot_finished(struct task_struct *first)
{
	if (first) {
		lkl_first_task = first;
		lkl_watch_booted(first->thread.host);
		lkl_cpu_retire(first->thread.host);
	}
	if (!__atomic_exchange_n(&boot_over, true, __ATOMIC_SEQ_CST))
		host(sem_up, boot_sem);
}

static void __ref boot_main(void *unused)
{
	lkl_boot_thread.host_thread = host(thread_self);
	start_kernel();
	host(thread_exit);
}

void linux_image(struct lkl_image *image)
{
	image->data = _sdata;
	image->data_size = _edata - _sdata;
	image->zeros = __bss_start;
	image->zeros_size = __bss_stop - __bss_start;
}

long __ref linux_boot(const struct lkl_host_ops *ops, const struct lkl_boot_params *params, struct lkl_task **first)
{
	static int booted;	/* in a new image, no */
	long ret = -ENOMEM;

	if (ops->size != sizeof(*ops) || ops->version != LKL_HOST_OPS_VERSION)
		return -EINVAL;
	if (params->pool_size < SZ_8M)
		return -EINVAL;
	if (__atomic_exchange_n(&booted, 1, __ATOMIC_SEQ_CST))
		return -EBUSY;

	lkl_ops = *ops;
	lkl_pool_size = params->pool_size & PAGE_MASK;
	if (params->command_line)
		strscpy(boot_command_line, params->command_line, COMMAND_LINE_SIZE);

	lkl_pool_base = (unsigned long)host(pool_alloc, lkl_pool_size);
	if (!lkl_pool_base)
		return ret;
	if (!lkl_cpu_init())
		goto no_cpu;
	boot_sem = host(sem_alloc, 0);
	if (!boot_sem)
		goto no_boot_sem;
	lkl_boot_thread.sem = host(sem_alloc, 0);
	if (!lkl_boot_thread.sem)
		goto no_boot_thread_sem;
	lkl_servant.sem = host(sem_alloc, 0);
	if (!lkl_servant.sem)
		goto no_servant_sem;
	if (!lkl_watch_start())
		goto no_watch;
	lkl_servant.handle = host(thread_create, lkl_servant_main, NULL);
	if (!lkl_servant.handle)
		goto no_servant;
	lkl_boot_thread.handle = host(thread_create, boot_main, NULL);
	if (!lkl_boot_thread.handle)
		goto no_boot_thread;

	host(sem_down, boot_sem);
	host(sem_free, boot_sem);
	if (linux_is_dead())
		return linux_halt() ?: -ENODEV;
	*first = (struct lkl_task *)lkl_first_task;
	return 0;

no_boot_thread:
	__atomic_store_n(&lkl_dead, 2, __ATOMIC_SEQ_CST);
	host(sem_up, lkl_servant.sem);
	host(thread_join, lkl_servant.handle);
no_servant:
	__atomic_store_n(&lkl_dead, 2, __ATOMIC_SEQ_CST);
	lkl_watch_call_off();
	lkl_watch_join();
	lkl_watch_free();
no_watch:
	host(sem_free, lkl_servant.sem);
no_servant_sem:
	host(sem_free, lkl_boot_thread.sem);
no_boot_thread_sem:
	host(sem_free, boot_sem);
no_boot_sem:
	lkl_cpu_free();
no_cpu:
	host(pool_free, (void *)lkl_pool_base, lkl_pool_size);
	return ret;
}

static const char init_magic[] = "#host\n";

static int load_host(struct linux_binprm *bprm)
{
	return memcmp(bprm->buf, init_magic, sizeof(init_magic) - 1) ? -ENOEXEC : 0;
}

static struct linux_binfmt host_format = {
	.load_binary = load_host,
};

static int __init make_root(void)
{
	struct file *file;
	loff_t pos = 0;
	ssize_t n;
	int ret;

	register_binfmt(&host_format);
	file = filp_open("/init", O_WRONLY | O_CREAT, 0700);
	if (IS_ERR(file))
		return PTR_ERR(file);
	n = kernel_write(file, init_magic, sizeof(init_magic) - 1, &pos);
	fput(file);
	if (n < 0)
		return n;
	/* A file that is open for writing cannot be executed, and fput() is put off. */
	flush_delayed_fput();
	task_work_run();

	init_mkdir("/proc", 0555);
	ret = init_mount("proc", "/proc", "proc", 0, NULL);
	if (ret)
		pr_err("proc: %d\n", ret);
	init_mkdir("/mnt", 0755);
	ret = init_mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	if (ret)
		pr_err("devtmpfs: %d\n", ret);
	return ret;
}
late_initcall_sync(make_root);
