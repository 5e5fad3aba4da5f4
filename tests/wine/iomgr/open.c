/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Opening by path: a device's name, or a drive letter that leads to one, and what follows it. The first open of a device
 * that a file system can be on has it mounted, unless it asks for nothing but attributes of the device itself; then the
 * CREATE goes to what is mounted there.
 *
 * A CREATE may be a user's, whose token the file system checks then; all other requests are the kernel's own. A link on
 * the way is not followed; the open then ends with STATUS_STOPPED_ON_SYMLINK.
 */
#include "iomgr.h"

/* The longest target of a drive letter, UTF-16 units. */
#define LONGEST_TARGET 512
/* What an open of a device alone may ask for, to leave it unmounted. */
#define DIRECT_ACCESS (SYNCHRONIZE | FILE_READ_ATTRIBUTES | READ_CONTROL)

/* Joins the target of a drive letter and what follows the letter; the caller discards it. FALSE: not a letter's path. */
static BOOLEAN follow_letter(const UNICODE_STRING *path, UNICODE_STRING *whole)
{
	static const UNICODE_STRING prefixes[] = { RTL_CONSTANT_STRING(L"\\??\\"),
						   RTL_CONSTANT_STRING(L"\\DosDevices\\"),
						   RTL_CONSTANT_STRING(L"\\GLOBAL??\\") };
	UNICODE_STRING link = *path, target;
	OBJECT_ATTRIBUTES attributes;
	NTSTATUS status;
	HANDLE handle;
	USHORT front;
	ULONG index;

	for (index = 0; index < RTL_NUMBER_OF(prefixes); index++)
		if (RtlPrefixUnicodeString(&prefixes[index], path, TRUE))
			break;
	if (index == RTL_NUMBER_OF(prefixes))
		return FALSE;
	front = prefixes[index].Length + 2 * sizeof(WCHAR);
	if (path->Length < front || path->Buffer[front / sizeof(WCHAR) - 1] != L':')
		return FALSE;
	link.Length = link.MaximumLength = front;
	InitializeObjectAttributes(&attributes, &link, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
	if (ZwOpenSymbolicLinkObject(&handle, GENERIC_READ, &attributes) < 0)
		return FALSE;
	whole->MaximumLength = LONGEST_TARGET * sizeof(WCHAR) + path->Length - front;
	whole->Buffer = allocate(whole->MaximumLength);
	target.Buffer = whole->Buffer;
	target.Length = 0;
	target.MaximumLength = LONGEST_TARGET * sizeof(WCHAR);
	status = whole->Buffer ? ZwQuerySymbolicLinkObject(handle, &target, NULL) : STATUS_NO_MEMORY;
	ZwClose(handle);
	if (status < 0) {
		discard(whole->Buffer);
		return FALSE;
	}
	RtlCopyMemory((UCHAR *)whole->Buffer + target.Length, (UCHAR *)path->Buffer + front, path->Length - front);
	whole->Length = target.Length + path->Length - front;
	return TRUE;
}

/* The device that a path leads to, in use, and a copy of what follows its name. NULL when it is none of ours. */
static struct device *resolve(const UNICODE_STRING *path, UNICODE_STRING *name)
{
	UNICODE_STRING whole = { 0 }, rest;
	const UNICODE_STRING *full = path;
	struct device *device;

	if (follow_letter(path, &whole))
		full = &whole;
	device = devices_named(full, &rest);
	if (device && name) {
		name->Buffer = allocate(rest.Length + sizeof(WCHAR));
		name->Length = rest.Length;
		name->MaximumLength = rest.Length + sizeof(WCHAR);
		if (!name->Buffer) {
			devices_let_go(device);
			device = NULL;
		} else {
			RtlCopyMemory(name->Buffer, rest.Buffer, rest.Length);
		}
	}
	if (full == &whole)
		discard(whole.Buffer);
	return device;
}

BOOLEAN open_is_ours(const UNICODE_STRING *name)
{
	struct device *device = resolve(name, NULL);

	if (device)
		devices_let_go(device);
	return device != NULL;
}

/* Where the CREATE goes: the device itself, or what is mounted on it. Fills in VPB and target. */
static NTSTATUS choose_target(struct file *file, ACCESS_MASK access)
{
	DEVICE_OBJECT *object = file->device->object, *top;
	NTSTATUS status;
	KIRQL irql;

	file->object.DeviceObject = object;
	if (!object->Vpb || (!file->object.FileName.Length && !(access & ~DIRECT_ACCESS))) {
		if (object->Vpb)
			file->object.Flags |= FO_DIRECT_DEVICE_OPEN;
		file->target = devices_use(devices_top(object));
		return file->target ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
	}
	status = devices_mount(object);
	if (status < 0)
		return status;
	devices_acquire_vpb_lock(&irql);
	top = object->Vpb->Flags & VPB_MOUNTED ? object->Vpb->DeviceObject : NULL;
	if (top) {
		file->vpb = object->Vpb;
		file->vpb->ReferenceCount++;
		file->target = devices_use(devices_top(top));
	}
	devices_release_vpb_lock(irql);
	file->object.Vpb = file->vpb;
	return file->target ? STATUS_SUCCESS : STATUS_VOLUME_DISMOUNTED;
}

static void let_devices_go(struct file *file)
{
	KIRQL irql;

	if (file->vpb) {
		devices_acquire_vpb_lock(&irql);
		file->vpb->ReferenceCount--;
		devices_release_vpb_lock(irql);
		file->vpb = NULL;
	}
	if (file->target)
		devices_let_go(file->target);
	file->target = NULL;
	if (file->device)
		devices_let_go(file->device);
	file->device = NULL;
}

static NTSTATUS send_create(struct file *file, const struct opening *opening, IO_STATUS_BLOCK *block)
{
	ACCESS_STATE state = { 0 };
	IO_SECURITY_CONTEXT security = { .AccessState = &state,
					 .DesiredAccess = opening->access,
					 .FullCreateOptions = opening->options };
	struct request request = { .irp_flags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API };

	if (opening->opener != KERNEL) {
		request.mode = UserMode;
		se_subject(&state, opening->opener);
	}
	/* As everyone has it by default. */
	state.Flags = TOKEN_HAS_TRAVERSE_PRIVILEGE;
	state.OriginalDesiredAccess = state.RemainingDesiredAccess = opening->access;
	request.location.MajorFunction = IRP_MJ_CREATE;
	if (!(opening->attributes & OBJ_CASE_INSENSITIVE))
		request.location.Flags |= SL_CASE_SENSITIVE;
	request.location.Parameters.Create.SecurityContext = &security;
	request.location.Parameters.Create.Options = opening->disposition << 24 | opening->options;
	request.location.Parameters.Create.ShareAccess = (USHORT)opening->share;
	return send_to_file(file, &request, block);
}

/* A name that begins at a directory that is open: the same volume, by the same way. */
static NTSTATUS follow_related(struct file *file, const struct opening *opening)
{
	struct file *related = opening->related;
	UNICODE_STRING *name = &file->object.FileName;
	KIRQL irql;

	name->Buffer = allocate(opening->name.Length + sizeof(WCHAR));
	if (!name->Buffer)
		return STATUS_INSUFFICIENT_RESOURCES;
	name->Length = opening->name.Length;
	name->MaximumLength = opening->name.Length + sizeof(WCHAR);
	RtlCopyMemory(name->Buffer, opening->name.Buffer, opening->name.Length);
	file->device = devices_use(related->device->object);
	file->target = devices_use(related->target->object);
	if (!file->device || !file->target)
		return STATUS_NO_SUCH_DEVICE;
	if (related->vpb) {
		devices_acquire_vpb_lock(&irql);
		file->vpb = related->vpb;
		file->vpb->ReferenceCount++;
		devices_release_vpb_lock(irql);
	}
	file->object.DeviceObject = file->device->object;
	file->object.Vpb = file->vpb;
	file->object.RelatedFileObject = &related->object;
	return STATUS_SUCCESS;
}

/* Opens by path. */
NTSTATUS open_path(const struct opening *opening, HANDLE *handle, IO_STATUS_BLOCK *block)
{
	struct file *file = files_new();
	NTSTATUS status;

	if (!file)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (opening->options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT))
		file->object.Flags |= FO_SYNCHRONOUS_IO;
	if (!(opening->attributes & OBJ_CASE_INSENSITIVE))
		file->object.Flags |= FO_OPENED_CASE_SENSITIVE;
	if (opening->related) {
		status = follow_related(file, opening);
	} else {
		file->device = resolve(&opening->name, &file->object.FileName);
		status = file->device ? choose_target(file, opening->access) : STATUS_OBJECT_NAME_NOT_FOUND;
	}
	if (status >= 0)
		status = send_create(file, opening, block);
	/* Only good for the time of the CREATE. */
	file->object.RelatedFileObject = NULL;
	if (status == STATUS_REPARSE)
		status = STATUS_STOPPED_ON_SYMLINK;
	if (status < 0) {
		/* What failed to open is not closed. */
		let_devices_go(file);
		files_let_go(file);
		return status;
	}
	file->object.Flags |= FO_HANDLE_CREATED;
	*handle = file->handle;
	return status;
}

static void send_end(struct file *file, UCHAR major)
{
	struct request request = { .irp_flags = IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API };
	IO_STATUS_BLOCK block;

	request.location.MajorFunction = major;
	if (send_to_file(file, &request, &block) < 0)
		report(major == IRP_MJ_CLOSE ? "a CLOSE failed" : "a CLEANUP failed");
}

void open_cleanup(struct file *file)
{
	send_end(file, IRP_MJ_CLEANUP);
}

/* The last reference is gone. A file object that was never opened has no target. */
void open_close(struct file *file)
{
	if (file->target)
		send_end(file, IRP_MJ_CLOSE);
	let_devices_go(file);
}
