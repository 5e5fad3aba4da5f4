/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRPs that are built, sent and waited for in the calling thread. They go straight to the driver's dispatch routine, by
 * Wine's IofCallDriver, and come back by Wine's IofCompleteRequest to a completion routine that stops it there: what the
 * I/O manager does at the end of a request (buffers, MDLs, status block, event) is done here.
 */
#include "iomgr.h"

NTSYSAPI ULONG NTAPI TlsAlloc(void);
NTSYSAPI int NTAPI TlsFree(ULONG index);
NTSYSAPI void *NTAPI TlsGetValue(ULONG index);
NTSYSAPI int NTAPI TlsSetValue(ULONG index, void *value);

/* Where a thread's top-level IRP is. */
static ULONG top_level = ~0u;

NTSTATUS request_start(void)
{
	top_level = TlsAlloc();
	return top_level == ~0u ? STATUS_NO_MEMORY : STATUS_SUCCESS;
}

void request_stop(void)
{
	TlsFree(top_level);
}

IRP *NTAPI request_top_level(void)
{
	return TlsGetValue(top_level);
}

void NTAPI request_set_top_level(IRP *irp)
{
	TlsSetValue(top_level, irp);
}

/* Media are not changed here: no thread has a device that is to be verified. */
void NTAPI request_set_device_to_verify(PETHREAD thread, DEVICE_OBJECT *object)
{
	(void)thread;
	(void)object;
}

/* The MDLs that a request ends with: unlocked and freed, but for the one that it came with. */
static void free_mdls(IRP *irp, MDL *own)
{
	MDL *mdl = irp->MdlAddress, *next;

	for (; mdl; mdl = next) {
		next = mdl->Next;
		if (mdl == own)
			continue;
		if (mdl->MdlFlags & MDL_PAGES_LOCKED)
			memory_unlock(mdl);
		memory_free_mdl(mdl);
	}
	irp->MdlAddress = NULL;
}

static NTSTATUS NTAPI came_back(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	(void)device;
	(void)irp;
	KeSetEvent(context, IO_NO_INCREMENT, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Sends a request to the device and waits for its end. */
NTSTATUS send(DEVICE_OBJECT *device, const struct request *request, IO_STATUS_BLOCK *block)
{
	IO_STACK_LOCATION *location;
	KEVENT done;
	NTSTATUS status;
	IRP *irp = IoAllocateIrp(device->StackSize, FALSE);

	if (!irp)
		return block->Status = STATUS_INSUFFICIENT_RESOURCES;
	KeInitializeEvent(&done, NotificationEvent, FALSE);
	irp->Flags = request->irp_flags;
	irp->RequestorMode = request->mode;
	irp->AssociatedIrp.SystemBuffer = request->system_buffer;
	irp->UserBuffer = request->user_buffer;
	irp->MdlAddress = request->mdl;
	irp->Tail.Overlay.Thread = current_thread();
	irp->Tail.Overlay.OriginalFileObject = request->location.FileObject;
	location = IoGetNextIrpStackLocation(irp);
	*location = request->location;
	IoSetCompletionRoutine(irp, came_back, &done, TRUE, TRUE, TRUE);
	status = IofCallDriver(device, irp);
	if (status == STATUS_PENDING)
		KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
	else if (status != irp->IoStatus.Status)
		report("a dispatch routine returned another status than it completed the request with");
	*block = irp->IoStatus;
	if (block->Status == STATUS_REPARSE && irp->Tail.Overlay.AuxiliaryBuffer)
		ExFreePool(irp->Tail.Overlay.AuxiliaryBuffer);
	free_mdls(irp, request->mdl);
	IoFreeIrp(irp);
	return block->Status;
}

NTSTATUS send_to_file(struct file *file, struct request *request, IO_STATUS_BLOCK *block)
{
	request->location.FileObject = &file->object;
	if (file->object.Flags & FO_SYNCHRONOUS_IO)
		request->irp_flags |= IRP_SYNCHRONOUS_API;
	return send(file->target->object, request, block);
}

/* A control of a file: DEVICE_CONTROL or FILE_SYSTEM_CONTROL, its buffers as the method of the code says. */
NTSTATUS request_control(struct file *file, UCHAR major, ULONG code, void *input, ULONG input_length, void *output,
			 ULONG output_length, IO_STATUS_BLOCK *block)
{
	struct request request = { 0 };
	ULONG room = input_length > output_length ? input_length : output_length;
	void *buffer = NULL;
	MDL *mdl = NULL;

	request.location.MajorFunction = major;
	request.location.Parameters.DeviceIoControl.IoControlCode = code;
	request.location.Parameters.DeviceIoControl.InputBufferLength = input_length;
	request.location.Parameters.DeviceIoControl.OutputBufferLength = output_length;
	switch (code & 3) {
	case METHOD_NEITHER:
		request.location.Parameters.DeviceIoControl.Type3InputBuffer = input;
		request.user_buffer = output;
		return send_to_file(file, &request, block);
	case METHOD_BUFFERED:
		break;
	default:
		room = input_length;
		if (output_length) {
			mdl = memory_allocate_mdl(output, output_length, FALSE, FALSE, NULL);
			if (!mdl)
				return block->Status = STATUS_INSUFFICIENT_RESOURCES;
			memory_lock(mdl, KernelMode, IoWriteAccess);
		}
	}
	if (room) {
		buffer = allocate(room);
		if (buffer)
			RtlCopyMemory(buffer, input, input_length);
	}
	request.system_buffer = buffer;
	request.mdl = mdl;
	if (room && !buffer)
		block->Status = STATUS_INSUFFICIENT_RESOURCES;
	else
		send_to_file(file, &request, block);
	if ((code & 3) == METHOD_BUFFERED && buffer && !NT_ERROR(block->Status)) {
		ULONG_PTR bytes = block->Information;

		if (bytes > output_length) {
			report("a control says that it wrote more than there was room for");
			bytes = output_length;
		}
		RtlCopyMemory(output, buffer, bytes);
	}
	if (mdl) {
		memory_unlock(mdl);
		memory_free_mdl(mdl);
	}
	discard(buffer);
	return block->Status;
}

/* What IoBuildDeviceIoControlRequest keeps until the end of its request. */
struct built {
	void *buffer;
	void *output;
	ULONG room;
	KEVENT *event;
	IO_STATUS_BLOCK *block;
};

static NTSTATUS NTAPI built_came_back(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	struct built *built = context;
	IO_STATUS_BLOCK result = irp->IoStatus;
	KEVENT *event = built->event;

	(void)device;
	if (!NT_ERROR(result.Status) && built->buffer && built->output)
		RtlCopyMemory(built->output, built->buffer,
			      result.Information < built->room ? result.Information : built->room);
	*built->block = result;
	discard(built->buffer);
	discard(built);
	IoFreeIrp(irp);
	if (event)
		KeSetEvent(event, IO_NO_INCREMENT, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

/* METHOD_BUFFERED only: Wine gives such a request the input for its buffer, and nothing where there is no input. */
IRP *NTAPI request_build_control(ULONG code, DEVICE_OBJECT *device, PVOID input, ULONG input_length, PVOID output,
				 ULONG output_length, BOOLEAN internal, KEVENT *event, IO_STATUS_BLOCK *block)
{
	IO_STACK_LOCATION *location;
	ULONG room = input_length > output_length ? input_length : output_length;
	struct built *built;
	IRP *irp;

	if ((code & 3) != METHOD_BUFFERED) {
		report("IoBuildDeviceIoControlRequest: a method that is not served");
		return NULL;
	}
	built = allocate(sizeof *built);
	irp = IoAllocateIrp(device->StackSize, FALSE);
	if (built && room)
		built->buffer = allocate(room);
	if (!irp || !built || (room && !built->buffer)) {
		if (irp)
			IoFreeIrp(irp);
		if (built)
			discard(built->buffer);
		discard(built);
		return NULL;
	}
	if (input)
		RtlCopyMemory(built->buffer, input, input_length);
	built->output = output;
	built->room = output_length;
	built->event = event;
	built->block = block;
	irp->AssociatedIrp.SystemBuffer = built->buffer;
	irp->UserBuffer = output;
	irp->Flags = IRP_BUFFERED_IO;
	irp->RequestorMode = KernelMode;
	irp->Tail.Overlay.Thread = current_thread();
	location = IoGetNextIrpStackLocation(irp);
	location->MajorFunction = internal ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL;
	location->Parameters.DeviceIoControl.IoControlCode = code;
	location->Parameters.DeviceIoControl.InputBufferLength = input_length;
	location->Parameters.DeviceIoControl.OutputBufferLength = output_length;
	IoSetCompletionRoutine(irp, built_came_back, built, TRUE, TRUE, TRUE);
	return irp;
}
