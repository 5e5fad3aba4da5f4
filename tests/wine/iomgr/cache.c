/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A cache manager that caches nothing: each copy is a paging read of the pages that it needs, for the same file object, in
 * the calling thread, as after a purge. It shows that a driver's cached reads work, and that they come back to it for
 * the pages; it shows nothing about a cache. MDL reads stay Wine's stub.
 */
#include "iomgr.h"

/* Bytes of one paging read at most. */
#define PIECE 0x10000

/* What PrivateCacheMap points to. */
struct map {
	LONGLONG file_size;
};

static LONG maps;

void NTAPI cache_initialize(FILE_OBJECT *file, CC_FILE_SIZES *sizes, BOOLEAN pin, CACHE_MANAGER_CALLBACKS *callbacks,
			    PVOID context)
{
	struct map *map;

	(void)pin, (void)callbacks, (void)context;
	if (file->PrivateCacheMap) {
		report("CcInitializeCacheMap: there is a map already");
		return;
	}
	map = allocate(sizeof *map);
	if (!map)
		ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
	map->file_size = sizes->FileSize.QuadPart;
	file->PrivateCacheMap = map;
	InterlockedIncrement(&maps);
}

BOOLEAN NTAPI cache_uninitialize(FILE_OBJECT *file, LARGE_INTEGER *truncate, CACHE_UNINITIALIZE_EVENT *event)
{
	(void)truncate;
	if (event)
		KeSetEvent(&event->Event, IO_NO_INCREMENT, FALSE);
	if (!file->PrivateCacheMap)
		return FALSE;
	discard(file->PrivateCacheMap);
	file->PrivateCacheMap = NULL;
	InterlockedDecrement(&maps);
	return TRUE;
}

/* One paging read into `pages`, which are aligned. */
static NTSTATUS read_pages(FILE_OBJECT *file, void *pages, ULONG length, LONGLONG offset)
{
	struct request request = { .irp_flags = IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO };
	IO_STATUS_BLOCK block;
	MDL *mdl = memory_allocate_mdl(pages, length, FALSE, FALSE, NULL);
	NTSTATUS status;

	if (!mdl)
		return STATUS_INSUFFICIENT_RESOURCES;
	memory_lock(mdl, KernelMode, IoWriteAccess);
	request.location.MajorFunction = IRP_MJ_READ;
	request.location.FileObject = file;
	request.location.Parameters.Read.Length = length;
	request.location.Parameters.Read.ByteOffset.QuadPart = offset;
	request.user_buffer = pages;
	request.mdl = mdl;
	status = send(files_related_device(file), &request, &block);
	memory_unlock(mdl);
	memory_free_mdl(mdl);
	return status;
}

BOOLEAN NTAPI cache_read(FILE_OBJECT *file, LARGE_INTEGER *offset, ULONG length, BOOLEAN wait, PVOID buffer,
			 IO_STATUS_BLOCK *block)
{
	struct map *map = file->PrivateCacheMap;
	LONGLONG at = offset->QuadPart, end = at + length;
	NTSTATUS status = STATUS_SUCCESS;
	UCHAR *out = buffer, *memory, *pages;

	if (!map || end > map->file_size)
		report("CcCopyRead: no map, or a read beyond the end of the file");
	if (!wait)
		return FALSE;
	memory = allocate(PIECE + PAGE_SIZE);
	if (!memory)
		ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
	pages = (UCHAR *)(((ULONG_PTR)memory + PAGE_SIZE - 1) & ~(ULONG_PTR)(PAGE_SIZE - 1));
	while (at < end && status >= 0) {
		LONGLONG first = at & ~(LONGLONG)(PAGE_SIZE - 1);
		ULONG skip = (ULONG)(at - first), wanted, part;

		part = (ULONG)(end - at < PIECE - skip ? end - at : PIECE - skip);
		wanted = (skip + part + PAGE_SIZE - 1) & ~(ULONG)(PAGE_SIZE - 1);
		/* What a page held before must not pass for the file's. */
		RtlFillMemory(pages, wanted, 0xcc);
		status = read_pages(file, pages, wanted, first);
		if (status >= 0)
			RtlCopyMemory(out, pages + skip, part);
		out += part;
		at += part;
	}
	discard(memory);
	if (status < 0)
		ExRaiseStatus(status);
	block->Status = STATUS_SUCCESS;
	block->Information = length;
	return TRUE;
}

BOOLEAN NTAPI cache_purge(SECTION_OBJECT_POINTERS *sections, LARGE_INTEGER *offset, ULONG length, BOOLEAN all)
{
	(void)sections, (void)offset, (void)length, (void)all;
	return TRUE;
}

/* No program is run from a file here. */
BOOLEAN NTAPI cache_flush_image(SECTION_OBJECT_POINTERS *sections, MMFLUSH_TYPE type)
{
	(void)sections, (void)type;
	return TRUE;
}

NTSTATUS NTAPI cache_wait(void)
{
	return STATUS_SUCCESS;
}

/* How many file objects have a map. */
ULONG cache_count(void)
{
	return (ULONG)maps;
}
