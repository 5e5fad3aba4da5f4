/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device that a test program talks to: it opens files of mounted volumes by path, and sends requests on them. A
 * program cannot do so itself, since Wine passes no name behind a device's to a driver, and few kinds of requests.
 *
 * Each code is buffered. The input is a struct call, and a text or other bytes behind it; the output a struct answer, and
 * what the request answered behind it. The code itself always succeeds; how the request ended is in the answer. ../src
 * has the same structs and numbers.
 */
#include "iomgr.h"

#define CODE(number) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x900 + (number), METHOD_BUFFERED, FILE_ANY_ACCESS)

enum {
	OPEN = CODE(0),
	CLOSE = CODE(1),
	READ = CODE(2),
	QUERY_FILE = CODE(3),
	QUERY_VOLUME = CODE(4),
	QUERY_DIRECTORY = CODE(5),
	FS_CONTROL = CODE(6),
	LEFT_OVER = CODE(7),
	REPORT = CODE(8),
};

struct call {
	ULONGLONG handle;
	LONGLONG offset;
	/* An information class, a control code, or the access that is wanted. */
	ULONG number;
	/* Flags of the stack location, or attributes of an open. */
	ULONG flags;
	ULONG share, disposition, options;
	/* Who opens: an enum opener. */
	ULONG opener;
	/* Bytes behind this. */
	ULONG more;
	ULONG reserved;
};

struct answer {
	NTSTATUS status;
	ULONG reserved;
	ULONGLONG information;
};

static DEVICE_OBJECT *device;
static UNICODE_STRING device_name = RTL_CONSTANT_STRING(L"\\Device\\IoManager");
static UNICODE_STRING link_name = RTL_CONSTANT_STRING(L"\\DosDevices\\IoManager");

static NTSTATUS do_open(const struct call *call, void *more, IO_STATUS_BLOCK *block)
{
	struct opening opening = { .opener = call->opener,
				   .access = call->number,
				   .attributes = call->flags,
				   .share = call->share,
				   .disposition = call->disposition,
				   .options = call->options };
	HANDLE handle = NULL;
	NTSTATUS status;

	if (call->opener >= OPENERS)
		return STATUS_INVALID_PARAMETER;
	if (call->handle) {
		opening.related = files_by_handle((HANDLE)(ULONG_PTR)call->handle);
		if (!opening.related)
			return STATUS_INVALID_HANDLE;
	}
	opening.name.Buffer = more;
	opening.name.Length = opening.name.MaximumLength = (USHORT)call->more;
	status = open_path(&opening, &handle, block);
	if (opening.related)
		files_let_go(opening.related);
	block->Information = (ULONG_PTR)handle;
	return status;
}

/* The request that a code asks for; FALSE when there is none of that code. The pattern lives as long as the request. */
static BOOLEAN fill(struct request *request, ULONG code, const struct call *call, void *out, ULONG room,
		    UNICODE_STRING *pattern)
{
	IO_STACK_LOCATION *location = &request->location;

	location->Flags = (UCHAR)call->flags;
	switch (code) {
	case READ:
		location->MajorFunction = IRP_MJ_READ;
		location->Parameters.Read.Length = room;
		location->Parameters.Read.ByteOffset.QuadPart = call->offset;
		request->irp_flags = IRP_READ_OPERATION;
		request->user_buffer = out;
		return TRUE;
	case QUERY_FILE:
		location->MajorFunction = IRP_MJ_QUERY_INFORMATION;
		location->Parameters.QueryFile.Length = room;
		location->Parameters.QueryFile.FileInformationClass = call->number;
		request->system_buffer = out;
		return TRUE;
	case QUERY_VOLUME:
		location->MajorFunction = IRP_MJ_QUERY_VOLUME_INFORMATION;
		location->Parameters.QueryVolume.Length = room;
		location->Parameters.QueryVolume.FsInformationClass = call->number;
		request->system_buffer = out;
		return TRUE;
	case QUERY_DIRECTORY:
		location->MajorFunction = IRP_MJ_DIRECTORY_CONTROL;
		location->MinorFunction = IRP_MN_QUERY_DIRECTORY;
		location->Parameters.QueryDirectory.Length = room;
		location->Parameters.QueryDirectory.FileInformationClass = call->number;
		location->Parameters.QueryDirectory.FileName = pattern->Length ? pattern : NULL;
		request->user_buffer = out;
		return TRUE;
	}
	return FALSE;
}

static NTSTATUS do_request(ULONG code, const struct call *call, void *more, void *out, ULONG room,
			   IO_STATUS_BLOCK *block)
{
	UNICODE_STRING pattern = { .Length = (USHORT)call->more, .MaximumLength = (USHORT)call->more, .Buffer = more };
	struct file *file = files_by_handle((HANDLE)(ULONG_PTR)call->handle);
	struct request request = { 0 };
	NTSTATUS status;

	if (!file)
		return STATUS_INVALID_HANDLE;
	if (code == FS_CONTROL) {
		status = request_control(file, IRP_MJ_FILE_SYSTEM_CONTROL, call->number, more, call->more, out, room,
					 block);
	} else if (fill(&request, code, call, out, room, &pattern)) {
		/* As the I/O manager has it: an open without buffering reads past the cache. */
		if (code == READ && file->object.Flags & FO_NO_INTERMEDIATE_BUFFERING)
			request.irp_flags |= IRP_NOCACHE;
		status = send_to_file(file, &request, block);
	} else {
		status = STATUS_INVALID_DEVICE_REQUEST;
	}
	files_let_go(file);
	return status;
}

static NTSTATUS left_over(void *out, ULONG room, IO_STATUS_BLOCK *block)
{
	ULONG counts[6];

	if (room < sizeof counts)
		return STATUS_BUFFER_TOO_SMALL;
	devices_count(&counts[0], &counts[1]);
	counts[2] = files_count();
	counts[3] = memory_count();
	counts[4] = time_count();
	counts[5] = cache_count();
	RtlCopyMemory(out, counts, sizeof counts);
	block->Information = sizeof counts;
	return STATUS_SUCCESS;
}

static NTSTATUS perform(ULONG code, const struct call *call, void *more, void *out, ULONG room, IO_STATUS_BLOCK *block)
{
	switch (code) {
	case OPEN:
		return do_open(call, more, block);
	case CLOSE:
		return files_close((HANDLE)(ULONG_PTR)call->handle);
	case LEFT_OVER:
		return left_over(out, room, block);
	case REPORT:
		block->Information = report_read(out, room);
		return STATUS_SUCCESS;
	default:
		return do_request(code, call, more, out, room, block);
	}
}

/* One code: the call is copied, since the answer takes its place in the buffer. */
static NTSTATUS control(IRP *irp, ULONG_PTR *bytes)
{
	IO_STACK_LOCATION *location = IoGetCurrentIrpStackLocation(irp);
	ULONG input = location->Parameters.DeviceIoControl.InputBufferLength;
	ULONG output = location->Parameters.DeviceIoControl.OutputBufferLength;
	struct answer *answer = irp->AssociatedIrp.SystemBuffer;
	IO_STATUS_BLOCK block = { 0 };
	struct call *call;
	ULONG room;

	if (input < sizeof *call || output < sizeof *answer)
		return STATUS_INVALID_PARAMETER;
	call = allocate(input);
	if (!call)
		return STATUS_INSUFFICIENT_RESOURCES;
	RtlCopyMemory(call, answer, input);
	if (call->more > input - sizeof *call || call->more > 0xfffe) {
		discard(call);
		return STATUS_INVALID_PARAMETER;
	}
	room = output - sizeof *answer;
	RtlZeroMemory(answer, output);
	answer->status = perform(location->Parameters.DeviceIoControl.IoControlCode, call, call + 1, answer + 1, room,
				 &block);
	answer->information = block.Information;
	discard(call);
	*bytes = output;
	return STATUS_SUCCESS;
}

static void complete(IRP *irp, NTSTATUS status, ULONG_PTR bytes)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = bytes;
	IofCompleteRequest(irp, IO_NO_INCREMENT);
}

void control_perform(IRP *irp)
{
	ULONG_PTR bytes = 0;
	NTSTATUS status = control(irp, &bytes);

	complete(irp, status, bytes);
}

static NTSTATUS NTAPI dispatch(DEVICE_OBJECT *target, IRP *irp)
{
	(void)target;
	if (IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_DEVICE_CONTROL)
		return work_queue(irp);
	complete(irp, STATUS_SUCCESS, 0);
	return STATUS_SUCCESS;
}

NTSTATUS control_start(DRIVER_OBJECT *driver)
{
	NTSTATUS status = IoCreateDevice(driver, 0, &device_name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);

	if (status < 0)
		return status;
	status = IoCreateSymbolicLink(&link_name, &device_name);
	if (status < 0) {
		IoDeleteDevice(device);
		return status;
	}
	driver->MajorFunction[IRP_MJ_CREATE] = dispatch;
	driver->MajorFunction[IRP_MJ_CLOSE] = dispatch;
	driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = dispatch;
	device->Flags &= ~DO_DEVICE_INITIALIZING;
	return status;
}

void control_stop(void)
{
	IoDeleteSymbolicLink(&link_name);
	IoDeleteDevice(device);
}
