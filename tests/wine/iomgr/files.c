/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * File objects on devices of drivers, and their handles. A handle is a number that no handle of Wine's can be, so every
 * routine that takes one can tell; the same holds for pointers to file objects, which are looked up in the list. What is
 * not ours goes on to Wine's own routine.
 */
#include "iomgr.h"

/* Wine's handles are small numbers, or small and negative. */
#define FIRST_HANDLE ((ULONG_PTR)0x4c4b00000000)
#define LAST_HANDLE (FIRST_HANDLE + 0xffffffff)

static struct lock lock;
static LIST_ENTRY all = { &all, &all };
static ULONG_PTR next_handle = FIRST_HANDLE;

BOOLEAN files_is_handle(HANDLE handle)
{
	return (ULONG_PTR)handle >= FIRST_HANDLE && (ULONG_PTR)handle <= LAST_HANDLE;
}

/* A file object with one reference, in the list, with a handle. */
struct file *files_new(void)
{
	struct file *file = allocate(sizeof *file);

	if (!file)
		return NULL;
	file->references = 1;
	file->object.Type = IO_TYPE_FILE;
	file->object.Size = sizeof file->object;
	KeInitializeEvent(&file->object.Lock, SynchronizationEvent, FALSE);
	KeInitializeEvent(&file->object.Event, NotificationEvent, FALSE);
	acquire(&lock);
	file->handle = (HANDLE)next_handle;
	next_handle += 4;
	InsertTailList(&all, &file->link);
	release(&lock);
	return file;
}

/* The file object of a handle, with a reference; NULL when there is none. */
struct file *files_by_handle(HANDLE handle)
{
	struct file *found = NULL;
	LIST_ENTRY *at;

	acquire(&lock);
	for (at = all.Flink; at != &all && !found; at = at->Flink) {
		struct file *file = CONTAINING_RECORD(at, struct file, link);

		if (file->handle == handle && handle)
			found = file;
	}
	if (found)
		found->references++;
	release(&lock);
	return found;
}

/* The record of a file object, with a reference more or less; NULL when it is not one of ours. The last one closes. */
static struct file *change(void *object, LONG by, LONG *left)
{
	struct file *found = NULL;
	LIST_ENTRY *at;

	acquire(&lock);
	for (at = all.Flink; at != &all && !found; at = at->Flink) {
		struct file *file = CONTAINING_RECORD(at, struct file, link);

		if (&file->object == object)
			found = file;
	}
	if (found) {
		*left = found->references += by;
		if (!*left)
			RemoveEntryList(&found->link);
	}
	release(&lock);
	return found;
}

static void end(struct file *file)
{
	open_close(file);
	discard(file->object.FileName.Buffer);
	discard(file);
}

void files_let_go(struct file *file)
{
	LONG left;

	if (change(&file->object, -1, &left) && !left)
		end(file);
}

/* Closes a handle: CLEANUP now, CLOSE when nobody refers to the file object any more. */
NTSTATUS files_close(HANDLE handle)
{
	struct file *file = files_by_handle(handle);
	BOOLEAN mine;

	if (!file)
		return STATUS_INVALID_HANDLE;
	acquire(&lock);
	mine = file->handle == handle;
	file->handle = NULL;
	release(&lock);
	if (mine) {
		open_cleanup(file);
		files_let_go(file);
	}
	files_let_go(file);
	return mine ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

ULONG files_count(void)
{
	ULONG count = 0;
	LIST_ENTRY *at;

	acquire(&lock);
	for (at = all.Flink; at != &all; at = at->Flink)
		count++;
	release(&lock);
	return count;
}

/* IoGetRelatedDeviceObject: the top of what is mounted there, or of the device itself. */
DEVICE_OBJECT *NTAPI files_related_device(FILE_OBJECT *file)
{
	if (file->Flags & FO_DIRECT_DEVICE_OPEN)
		return devices_top(file->DeviceObject);
	if (file->Vpb && file->Vpb->DeviceObject)
		return devices_top(file->Vpb->DeviceObject);
	if (file->DeviceObject->Vpb && file->DeviceObject->Vpb->DeviceObject)
		return devices_top(file->DeviceObject->Vpb->DeviceObject);
	return devices_top(file->DeviceObject);
}

NTSTATUS NTAPI files_reference_by_handle(HANDLE handle, ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode,
					 PVOID *object, OBJECT_HANDLE_INFORMATION *information)
{
	struct file *file;

	if (!files_is_handle(handle))
		return ObReferenceObjectByHandle(handle, access, type, mode, object, information);
	if (type && type != *IoFileObjectType)
		return STATUS_OBJECT_TYPE_MISMATCH;
	file = files_by_handle(handle);
	if (!file)
		return STATUS_INVALID_HANDLE;
	*object = &file->object;
	return STATUS_SUCCESS;
}

LONG_PTR FASTCALL files_reference(PVOID object)
{
	LONG left;

	if (change(object, 1, &left))
		return left;
	return ObfReferenceObject(object);
}

LONG_PTR FASTCALL files_dereference(PVOID object)
{
	LONG left;
	struct file *file = change(object, -1, &left);

	if (!file)
		return ObfDereferenceObject(object);
	if (!left)
		end(file);
	return left;
}
