// SPDX-License-Identifier: GPL-2.0
/*
 * A race for schedules to find: an object that is made when its first user comes and freed when its last one goes, without the lock that
 * this takes. Tasks write to /proc/lkl_race: "g" for getting the object, "p" for putting it.
 */
#include <linux/atomic.h>
#include <linux/init.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

struct object {
	atomic_t users;
	unsigned long uses;
};

static struct object *the_object;

static int get(void)
{
	struct object *object = READ_ONCE(the_object);

	if (!object) {
		object = kzalloc(sizeof(*object), GFP_KERNEL);
		if (!object)
			return -ENOMEM;
		WRITE_ONCE(the_object, object);
	}
	/* It may be gone by now. */
	atomic_inc(&object->users);
	object->uses++;
	return 0;
}

static void put(void)
{
	struct object *object = READ_ONCE(the_object);

	if (object && atomic_dec_and_test(&object->users)) {
		WRITE_ONCE(the_object, NULL);
		kfree(object);
	}
}

static ssize_t race_write(struct file *file, const char __user *text, size_t length, loff_t *position)
{
	char word;
	int err = 0;

	if (length != 1)
		return -EINVAL;
	if (copy_from_user(&word, text, 1))
		return -EFAULT;
	if (word == 'g')
		err = get();
	else if (word == 'p')
		put();
	else
		err = -EINVAL;
	return err ?: length;
}

static const struct proc_ops race_ops = {
	.proc_write = race_write,
	.proc_lseek = noop_llseek,
};

static int __init race_init(void)
{
	return proc_create("lkl_race", 0200, NULL, &race_ops) ? 0 : -ENOMEM;
}
device_initcall(race_init);
