/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices of the drivers that were loaded after this one: by name, with a VPB for those that a file system can be on,
 * and mounted when they are opened. Wine makes and deletes the device objects; this keeps what it does not keep: the
 * name for opens from the kernel, the VPB, and how many use the device, since a driver may delete one that has files
 * open.
 *
 * A VPB is what the file system's volume refers to for as long as it lives, which may be longer than the device; so the
 * VPB that a device has at its end is not freed before the unload. A file system may put a VPB of its own in the place of
 * one that is in use, which it then frees itself: so a VPB is a plain block of pool, and its mount is guarded elsewhere.
 */
#include "iomgr.h"

/* A VPB that outlives its device. */
struct vpb {
	LIST_ENTRY link;
	VPB *vpb;
};

struct file_system {
	LIST_ENTRY link;
	struct device *device;
};

static struct lock lock;
static LIST_ENTRY all = { &all, &all };
static LIST_ENTRY file_systems = { &file_systems, &file_systems };
static LIST_ENTRY vpbs = { &vpbs, &vpbs };
/* IoAcquireVpbSpinLock's. */
static struct lock vpb_lock;

void NTAPI devices_acquire_vpb_lock(KIRQL *irql)
{
	*irql = PASSIVE_LEVEL;
	acquire(&vpb_lock);
}

void NTAPI devices_release_vpb_lock(KIRQL irql)
{
	(void)irql;
	release(&vpb_lock);
}

static BOOLEAN can_be_mounted(DEVICE_TYPE type)
{
	return type == FILE_DEVICE_DISK || type == FILE_DEVICE_CD_ROM || type == FILE_DEVICE_VIRTUAL_DISK ||
	       type == FILE_DEVICE_TAPE;
}

static VPB *new_vpb(DEVICE_OBJECT *object)
{
	VPB *made = allocate(sizeof *made);

	if (!made)
		return NULL;
	made->Type = IO_TYPE_VPB;
	made->Size = sizeof *made;
	made->RealDevice = object;
	return made;
}

NTSTATUS NTAPI devices_create(DRIVER_OBJECT *driver, ULONG extension, UNICODE_STRING *name, DEVICE_TYPE type,
			      ULONG characteristics, BOOLEAN exclusive, DEVICE_OBJECT **object)
{
	struct device *device = allocate(sizeof *device + (name ? name->Length : 0));
	struct vpb *last = NULL;
	NTSTATUS status;

	if (!device)
		return STATUS_INSUFFICIENT_RESOURCES;
	ExInitializeFastMutex(&device->mounting);
	status = IoCreateDevice(driver, extension, name, type, characteristics, exclusive, object);
	if (status < 0)
		goto out;
	if (can_be_mounted(type)) {
		last = allocate(sizeof *last);
		if (last)
			(*object)->Vpb = new_vpb(*object);
		if (!last || !(*object)->Vpb) {
			if (last)
				discard(last);
			IoDeleteDevice(*object);
			status = STATUS_INSUFFICIENT_RESOURCES;
			goto out;
		}
	}
	device->last_vpb = last;
	device->object = *object;
	if (name) {
		device->name.Buffer = (WCHAR *)(device + 1);
		device->name.Length = device->name.MaximumLength = name->Length;
		RtlCopyMemory(device->name.Buffer, name->Buffer, name->Length);
	}
	acquire(&lock);
	InsertTailList(&all, &device->link);
	release(&lock);
	return status;
out:
	discard(device);
	return status;
}

/* The record of a device object; the lock is held. */
static struct device *find(DEVICE_OBJECT *object)
{
	LIST_ENTRY *at;

	for (at = all.Flink; at != &all; at = at->Flink) {
		struct device *device = CONTAINING_RECORD(at, struct device, link);

		if (device->object == object)
			return device;
	}
	return NULL;
}

/* Deletes the object of a doomed device that nobody uses. The lock is held, and released. */
static void delete_if_unused(struct device *device)
{
	BOOLEAN now = device->doomed && !device->users;

	if (now) {
		RemoveEntryList(&device->link);
		if (device->last_vpb) {
			device->last_vpb->vpb = device->object->Vpb;
			InsertTailList(&vpbs, &device->last_vpb->link);
		}
	}
	release(&lock);
	if (now) {
		IoDeleteDevice(device->object);
		discard(device);
	}
}

void NTAPI devices_delete(DEVICE_OBJECT *object)
{
	struct device *device;

	acquire(&lock);
	device = find(object);
	if (!device || device->doomed) {
		release(&lock);
		report("IoDeleteDevice: not a device, or deleted before");
		return;
	}
	device->doomed = TRUE;
	delete_if_unused(device);
}

/* The record of a device object, which stays until it is let go; NULL for one that is not there. */
struct device *devices_use(DEVICE_OBJECT *object)
{
	struct device *device;

	acquire(&lock);
	device = find(object);
	if (device)
		device->users++;
	release(&lock);
	return device;
}

void devices_let_go(struct device *device)
{
	acquire(&lock);
	device->users--;
	delete_if_unused(device);
}

/*
 * The device whose name a path begins with, and what follows the name: nothing, or a backslash and more. It stays until
 * it is let go. NULL when there is none.
 */
struct device *devices_named(const UNICODE_STRING *path, UNICODE_STRING *rest)
{
	struct device *found = NULL;
	LIST_ENTRY *at;

	acquire(&lock);
	for (at = all.Flink; at != &all; at = at->Flink) {
		struct device *device = CONTAINING_RECORD(at, struct device, link);
		USHORT length = device->name.Length;

		if (!length || device->doomed || !RtlPrefixUnicodeString(&device->name, path, TRUE))
			continue;
		if (path->Length > length && path->Buffer[length / sizeof(WCHAR)] != L'\\')
			continue;
		rest->Buffer = path->Buffer + length / sizeof(WCHAR);
		rest->Length = rest->MaximumLength = path->Length - length;
		device->users++;
		found = device;
		break;
	}
	release(&lock);
	return found;
}

/* The top of the stack that a device is in. */
DEVICE_OBJECT *devices_top(DEVICE_OBJECT *object)
{
	while (object->AttachedDevice)
		object = object->AttachedDevice;
	return object;
}

/* No device of Wine's or of ours is attached to another one below it. */
DEVICE_OBJECT *NTAPI devices_lower(DEVICE_OBJECT *object)
{
	(void)object;
	return NULL;
}

void NTAPI devices_register(DEVICE_OBJECT *object)
{
	struct file_system *registered = allocate(sizeof *registered);

	if (!registered || !(registered->device = devices_use(object))) {
		discard(registered);
		report("IoRegisterFileSystem: no memory, or not a device");
		return;
	}
	acquire(&lock);
	/* Who came last is asked first, but for those that want to be asked last. */
	if (object->Flags & DO_LOW_PRIORITY_FILESYSTEM)
		InsertTailList(&file_systems, &registered->link);
	else
		InsertHeadList(&file_systems, &registered->link);
	release(&lock);
}

void NTAPI devices_unregister(DEVICE_OBJECT *object)
{
	struct file_system *found = NULL;
	LIST_ENTRY *at;

	acquire(&lock);
	for (at = file_systems.Flink; at != &file_systems; at = at->Flink) {
		struct file_system *registered = CONTAINING_RECORD(at, struct file_system, link);

		if (registered->device->object == object) {
			found = registered;
			RemoveEntryList(at);
			break;
		}
	}
	release(&lock);
	if (!found) {
		report("IoUnregisterFileSystem: not registered");
		return;
	}
	devices_let_go(found->device);
	discard(found);
}

/* The registered file system number `index` of those for a type of device, in use; NULL behind the last. */
static struct device *file_system(DEVICE_TYPE type, ULONG index)
{
	DEVICE_TYPE wanted = type == FILE_DEVICE_CD_ROM ? FILE_DEVICE_CD_ROM_FILE_SYSTEM :
							  FILE_DEVICE_DISK_FILE_SYSTEM;
	struct device *found = NULL;
	LIST_ENTRY *at;

	acquire(&lock);
	for (at = file_systems.Flink; at != &file_systems && !found; at = at->Flink) {
		struct device *device = CONTAINING_RECORD(at, struct file_system, link)->device;

		if (device->object->DeviceType == wanted && !index--)
			found = device;
	}
	if (found)
		found->users++;
	release(&lock);
	return found;
}

/* Asks the file systems to mount a device, one after the other, until one does. There is no RAW file system. */
static NTSTATUS ask_file_systems(DEVICE_OBJECT *object, VPB *vpb)
{
	NTSTATUS status = STATUS_UNRECOGNIZED_VOLUME, first_refusal = STATUS_UNRECOGNIZED_VOLUME;
	struct device *device;
	ULONG index;

	for (index = 0; (device = file_system(object->DeviceType, index)); index++) {
		struct request request = { .irp_flags = IRP_MOUNT_COMPLETION | IRP_SYNCHRONOUS_PAGING_IO };
		IO_STATUS_BLOCK block;

		request.location.MajorFunction = IRP_MJ_FILE_SYSTEM_CONTROL;
		request.location.MinorFunction = IRP_MN_MOUNT_VOLUME;
		request.location.Parameters.MountVolume.Vpb = vpb;
		request.location.Parameters.MountVolume.DeviceObject = object;
		status = send(devices_top(device->object), &request, &block);
		devices_let_go(device);
		if (status >= 0)
			return status;
		if (first_refusal == STATUS_UNRECOGNIZED_VOLUME)
			first_refusal = status;
	}
	return first_refusal;
}

/* Mounts what is on a device, unless something is. */
NTSTATUS devices_mount(DEVICE_OBJECT *object)
{
	struct device *device = devices_use(object);
	NTSTATUS status = STATUS_SUCCESS;
	VPB *vpb;

	if (!device)
		return STATUS_NO_SUCH_DEVICE;
	ExAcquireFastMutex(&device->mounting);
	vpb = object->Vpb;
	if (!(vpb->Flags & VPB_MOUNTED)) {
		status = ask_file_systems(object, vpb);
		if (status >= 0 && !vpb->DeviceObject) {
			report("MOUNT_VOLUME succeeded, and the VPB has no device");
			status = STATUS_UNSUCCESSFUL;
		}
		if (status >= 0)
			vpb->Flags |= VPB_MOUNTED;
	}
	ExReleaseFastMutex(&device->mounting);
	devices_let_go(device);
	return status;
}

void devices_count(ULONG *devices, ULONG *registered)
{
	LIST_ENTRY *at;

	*devices = *registered = 0;
	acquire(&lock);
	for (at = all.Flink; at != &all; at = at->Flink)
		++*devices;
	for (at = file_systems.Flink; at != &file_systems; at = at->Flink)
		++*registered;
	release(&lock);
}

/* Frees the VPBs: for the unload, when the drivers that had them are gone. */
void devices_forget(void)
{
	while (!IsListEmpty(&vpbs)) {
		struct vpb *last = CONTAINING_RECORD(RemoveHeadList(&vpbs), struct vpb, link);

		discard(last->vpb);
		discard(last);
	}
}
