/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's own file routines. Wine's send every request to its server and back to the one thread that serves a
 * process' devices; a driver that opens a device of its own from inside a request would wait for itself. So opens of
 * devices that are known here, and requests on their handles, are served here. Paths of Wine's drives, and handles on
 * them, go on to Wine.
 *
 * Wine's own mount manager is hidden: it manages folders of Linux, and holds requests of the kernel's to the rights that a
 * program would need. Without one, a driver makes its link for a letter itself.
 */
#include "iomgr.h"

static const UNICODE_STRING mount_manager = RTL_CONSTANT_STRING(L"\\Device\\MountPointManager");

NTSTATUS NTAPI zw_create_file(HANDLE *handle, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes, IO_STATUS_BLOCK *block,
			      LARGE_INTEGER *allocation, ULONG file_attributes, ULONG share, ULONG disposition,
			      ULONG options, PVOID ea, ULONG ea_length)
{
	struct opening opening = { .access = access,
				   .attributes = attributes->Attributes,
				   .share = share,
				   .disposition = disposition,
				   .options = options };

	if (!attributes->RootDirectory && RtlEqualUnicodeString(attributes->ObjectName, &mount_manager, TRUE))
		return STATUS_OBJECT_NAME_NOT_FOUND;
	if (attributes->RootDirectory || !open_is_ours(attributes->ObjectName))
		return ZwCreateFile(handle, access, attributes, block, allocation, file_attributes, share, disposition,
				    options, ea, ea_length);
	opening.name = *attributes->ObjectName;
	return open_path(&opening, handle, block);
}

NTSTATUS NTAPI zw_open_file(HANDLE *handle, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes, IO_STATUS_BLOCK *block,
			    ULONG share, ULONG options)
{
	return zw_create_file(handle, access, attributes, block, NULL, 0, share, FILE_OPEN, options, NULL, 0);
}

NTSTATUS NTAPI zw_close(HANDLE handle)
{
	return files_is_handle(handle) ? files_close(handle) : ZwClose(handle);
}

/* A control of one of our files; the caller waits, whatever the open says. */
static NTSTATUS control(HANDLE handle, UCHAR major, HANDLE event, PIO_APC_ROUTINE routine, IO_STATUS_BLOCK *block,
			ULONG code, PVOID input, ULONG input_length, PVOID output, ULONG output_length)
{
	struct file *file;
	NTSTATUS status;

	if (event || routine) {
		report("a control with an event or an APC, which is not served");
		return STATUS_NOT_IMPLEMENTED;
	}
	file = files_by_handle(handle);
	if (!file)
		return STATUS_INVALID_HANDLE;
	status = request_control(file, major, code, input, input_length, output, output_length, block);
	files_let_go(file);
	return status;
}

NTSTATUS NTAPI zw_fs_control(HANDLE handle, HANDLE event, PIO_APC_ROUTINE routine, PVOID context,
			     IO_STATUS_BLOCK *block, ULONG code, PVOID input, ULONG input_length, PVOID output,
			     ULONG output_length)
{
	if (!files_is_handle(handle))
		return ZwFsControlFile(handle, event, routine, context, block, code, input, input_length, output,
				       output_length);
	return control(handle, IRP_MJ_FILE_SYSTEM_CONTROL, event, routine, block, code, input, input_length, output,
		       output_length);
}

NTSTATUS NTAPI zw_device_control(HANDLE handle, HANDLE event, PIO_APC_ROUTINE routine, PVOID context,
				 IO_STATUS_BLOCK *block, ULONG code, PVOID input, ULONG input_length, PVOID output,
				 ULONG output_length)
{
	if (!files_is_handle(handle))
		return ZwDeviceIoControlFile(handle, event, routine, context, block, code, input, input_length, output,
					     output_length);
	return control(handle, IRP_MJ_DEVICE_CONTROL, event, routine, block, code, input, input_length, output,
		       output_length);
}
