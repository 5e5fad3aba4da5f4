/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MDLs. Wine's "physical" address of a byte is its address (MmGetPhysicalAddress), so a frame's number is that of the page
 * where the memory was first mapped, and an MDL whose frames follow each other needs no mapping. Frames that do not are
 * mapped side by side if they come from MmAllocatePagesForMdl(Ex), and else not at all.
 *
 * Wine maps nothing smaller than 64 KiB. So the pages that are handed out are shared memory of Linux's, and each is mapped
 * a second time by Linux's own mremap: the two system calls at the end of this file are the only ones that pass Wine by.
 */
#include "iomgr.h"

/* What memory_allocate_pages() gave. */
struct region {
	LIST_ENTRY link;
	UCHAR *base;
	SIZE_T bytes;
};

static struct lock lock;
static LIST_ENTRY regions = { &regions, &regions };
/* MDLs that are mapped. */
static LONG mapped;

static void *linux_share(void *at, SIZE_T bytes);
static void *linux_map_again(void *from, SIZE_T bytes, void *at);

/* Wine's has room for 32 bits a frame, and here a frame's number has 64. */
MDL *NTAPI memory_allocate_mdl(PVOID address, ULONG bytes, BOOLEAN secondary, BOOLEAN charge_quota, IRP *irp)
{
	SIZE_T size = sizeof(MDL) + ADDRESS_AND_SIZE_TO_SPAN_PAGES(address, bytes) * sizeof(PFN_NUMBER);
	MDL *mdl = allocate(size), **link;

	(void)charge_quota;
	if (!mdl)
		return NULL;
	mdl->Size = (CSHORT)size;
	mdl->StartVa = (PVOID)((ULONG_PTR)address & ~(ULONG_PTR)(PAGE_SIZE - 1));
	mdl->ByteOffset = (ULONG)((ULONG_PTR)address & (PAGE_SIZE - 1));
	mdl->ByteCount = bytes;
	if (irp) {
		link = &irp->MdlAddress;
		while (secondary && *link)
			link = &(*link)->Next;
		*link = mdl;
	}
	return mdl;
}

void NTAPI memory_free_mdl(MDL *mdl)
{
	if (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)
		report("IoFreeMdl: an MDL that is mapped");
	discard(mdl);
}

static ULONG pages_of(const MDL *mdl)
{
	return ADDRESS_AND_SIZE_TO_SPAN_PAGES((ULONG_PTR)mdl->StartVa + mdl->ByteOffset, mdl->ByteCount);
}

static void fill_frames(MDL *mdl)
{
	PFN_NUMBER *frames = MmGetMdlPfnArray(mdl), first = (ULONG_PTR)mdl->StartVa >> PAGE_SHIFT;
	ULONG index, count = pages_of(mdl);

	for (index = 0; index < count; index++)
		frames[index] = first + index;
}

PHYSICAL_ADDRESS NTAPI memory_physical(PVOID address)
{
	PHYSICAL_ADDRESS physical = { .QuadPart = (LONGLONG)(ULONG_PTR)address };

	return physical;
}

static void *reserve(SIZE_T bytes)
{
	PVOID base = NULL;

	if (ZwAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) < 0)
		return NULL;
	return base;
}

static void give_back(void *base)
{
	SIZE_T bytes = 0;

	ZwFreeVirtualMemory(NtCurrentProcess(), &base, &bytes, MEM_RELEASE);
}

/* Pages of zeros; the caller frees the MDL's pages, and then the MDL with ExFreePool. */
MDL *NTAPI memory_allocate_pages(PHYSICAL_ADDRESS low, PHYSICAL_ADDRESS high, PHYSICAL_ADDRESS skip, SIZE_T bytes,
				 MEMORY_CACHING_TYPE caching, ULONG flags)
{
	SIZE_T rounded = (bytes + PAGE_SIZE - 1) & ~(SIZE_T)(PAGE_SIZE - 1);
	struct region *region = allocate(sizeof *region);
	MDL *mdl = ExAllocatePoolWithTag(NonPagedPool, sizeof *mdl + (rounded >> PAGE_SHIFT) * sizeof(PFN_NUMBER), TAG);

	(void)low, (void)high, (void)skip, (void)caching, (void)flags;
	if (!region || !mdl || !rounded || rounded > 0x7fffffff)
		goto fail;
	region->base = reserve(rounded);
	if (!region->base)
		goto fail;
	if (linux_share(region->base, rounded) != region->base) {
		give_back(region->base);
		goto fail;
	}
	region->bytes = rounded;
	acquire(&lock);
	InsertTailList(&regions, &region->link);
	release(&lock);
	RtlZeroMemory(mdl, sizeof *mdl);
	mdl->Size = (CSHORT)(sizeof *mdl + (rounded >> PAGE_SHIFT) * sizeof(PFN_NUMBER));
	mdl->StartVa = region->base;
	mdl->ByteCount = (ULONG)rounded;
	fill_frames(mdl);
	mdl->StartVa = NULL;
	mdl->MdlFlags = MDL_PAGES_LOCKED;
	return mdl;
fail:
	discard(region);
	discard(mdl);
	return NULL;
}

/* The region that a frame is in; the lock is held. */
static struct region *region_of(PFN_NUMBER frame)
{
	LIST_ENTRY *at;

	for (at = regions.Flink; at != &regions; at = at->Flink) {
		struct region *region = CONTAINING_RECORD(at, struct region, link);
		ULONG_PTR offset = (frame << PAGE_SHIFT) - (ULONG_PTR)region->base;

		if (offset < region->bytes)
			return region;
	}
	return NULL;
}

void NTAPI memory_free_pages(MDL *mdl)
{
	struct region *region;

	acquire(&lock);
	region = region_of(MmGetMdlPfnArray(mdl)[0]);
	if (region)
		RemoveEntryList(&region->link);
	release(&lock);
	if (!region) {
		report("MmFreePagesFromMdl: not pages that were allocated");
		return;
	}
	give_back(region->base);
	discard(region);
}

void NTAPI memory_build_mdl(MDL *mdl)
{
	fill_frames(mdl);
	mdl->MappedSystemVa = (UCHAR *)mdl->StartVa + mdl->ByteOffset;
	mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
}

/* Touches each page as the operation will, so that a bad address faults here; nothing is ever paged out. */
void NTAPI memory_lock(MDL *mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation)
{
	UCHAR *at = (UCHAR *)mdl->StartVa + mdl->ByteOffset, *end = at + mdl->ByteCount;

	(void)mode;
	for (; at < end; at = (UCHAR *)(((ULONG_PTR)at | (PAGE_SIZE - 1)) + 1)) {
		if (operation == IoReadAccess)
			(void)*(volatile UCHAR *)at;
		else
			__sync_fetch_and_or((volatile UCHAR *)at, 0);
	}
	fill_frames(mdl);
	mdl->MdlFlags |= MDL_PAGES_LOCKED;
	if (operation != IoReadAccess)
		mdl->MdlFlags |= MDL_WRITE_OPERATION;
}

void NTAPI memory_unlock(MDL *mdl)
{
	if (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)
		memory_unmap(mdl->MappedSystemVa, mdl);
	mdl->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_WRITE_OPERATION);
}

/* How many frames from the first on follow each other. */
static ULONG run_length(const PFN_NUMBER *frames, ULONG count)
{
	ULONG length = 1;

	while (length < count && frames[length] == frames[0] + length)
		length++;
	return length;
}

/* Maps frames side by side; NULL when one of them is not a page that was allocated. */
static void *map_side_by_side(const PFN_NUMBER *frames, ULONG count)
{
	UCHAR *view = reserve((SIZE_T)count << PAGE_SHIFT);
	ULONG done = 0, length;

	if (!view)
		return NULL;
	for (; done < count; done += length) {
		UCHAR *from = (UCHAR *)(frames[done] << PAGE_SHIFT), *at = view + ((SIZE_T)done << PAGE_SHIFT);
		struct region *region;

		length = run_length(frames + done, count - done);
		acquire(&lock);
		region = region_of(frames[done]);
		if (region && from + ((SIZE_T)length << PAGE_SHIFT) > region->base + region->bytes)
			region = NULL;
		release(&lock);
		if (!region || linux_map_again(from, (SIZE_T)length << PAGE_SHIFT, at) != at) {
			give_back(view);
			return NULL;
		}
	}
	return view;
}

PVOID NTAPI memory_map(MDL *mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE caching, PVOID base, ULONG bug_check,
		       ULONG priority)
{
	PFN_NUMBER *frames = MmGetMdlPfnArray(mdl);
	ULONG count = pages_of(mdl);
	UCHAR *start;

	(void)mode, (void)caching, (void)base, (void)bug_check, (void)priority;
	if (!(mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_PARTIAL))) {
		report("MmMapLockedPagesSpecifyCache: pages that are not locked");
		return NULL;
	}
	if (run_length(frames, count) == count)
		start = (UCHAR *)(frames[0] << PAGE_SHIFT);
	else
		start = map_side_by_side(frames, count);
	if (!start)
		return NULL;
	InterlockedIncrement(&mapped);
	mdl->MappedSystemVa = start + mdl->ByteOffset;
	mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
	return mdl->MappedSystemVa;
}

void NTAPI memory_unmap(PVOID address, MDL *mdl)
{
	UCHAR *start = (UCHAR *)address - mdl->ByteOffset;

	if (!(mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) || address != mdl->MappedSystemVa) {
		report("MmUnmapLockedPages: not what is mapped");
		return;
	}
	if (start != (UCHAR *)(MmGetMdlPfnArray(mdl)[0] << PAGE_SHIFT))
		give_back(start);
	InterlockedDecrement(&mapped);
	mdl->MdlFlags &= ~MDL_MAPPED_TO_SYSTEM_VA;
	mdl->MappedSystemVa = NULL;
}

/* What is mapped or allocated now. */
ULONG memory_count(void)
{
	ULONG count = (ULONG)mapped;
	LIST_ENTRY *at;

	acquire(&lock);
	for (at = regions.Flink; at != &regions; at = at->Flink)
		count++;
	release(&lock);
	return count;
}

static LONG64 linux_call(LONG64 number, void *first, SIZE_T second, SIZE_T third, SIZE_T fourth, void *fifth, SIZE_T sixth)
{
	register SIZE_T r10 __asm__("r10") = fourth;
	register void *r8 __asm__("r8") = fifth;
	register SIZE_T r9 __asm__("r9") = sixth;
	LONG64 result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1, 0) */
static void *linux_share(void *at, SIZE_T bytes)
{
	return (void *)linux_call(9, at, bytes, 3, 0x31, (void *)-1, 0);
}

/* mremap(from, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at): old size 0 maps shared memory once more. */
static void *linux_map_again(void *from, SIZE_T bytes, void *at)
{
	return (void *)linux_call(25, from, 0, bytes, 3, at, 0);
}
