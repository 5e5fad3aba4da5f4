/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a driver that is loaded later comes to call this one's routines: ntoskrnl.exe gets another export directory. Wine's
 * loader reads a module's directory from the module's memory each time that it binds an import, or looks a routine up for
 * MmGetSystemRoutineAddress; so a longer copy is put behind the module, where a 32-bit offset reaches, and entered in
 * the module's header. Names that Wine has keep their ordinals; those that it supplies itself and that are not replaced
 * are as before. The driver that is tested is not touched: its imports are bound by Wine's loader.
 *
 * An export is an offset from the module too, so each routine gets a jump in the same block.
 */
#include "iomgr.h"

#include <ntimage.h>

/* jmp [rip]; the address follows. */
struct jump {
	UCHAR code[6];
	void *target;
} __attribute__((packed));

static const UCHAR jump_code[6] = { 0xff, 0x25, 0, 0, 0, 0 };

static UCHAR *module;
static IMAGE_DATA_DIRECTORY *entry;
static IMAGE_DATA_DIRECTORY before;
static void *block;

NTSYSAPI IMAGE_NT_HEADERS *NTAPI RtlImageNtHeader(PVOID base);
NTSYSAPI NTSTATUS NTAPI LdrGetDllHandle(const WCHAR *path, ULONG *flags, const UNICODE_STRING *name, HANDLE *base);
NTSYSAPI NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE process, PVOID *base, SIZE_T *bytes, ULONG protection,
					       ULONG *old);

static int compare(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (UCHAR)*a - (UCHAR)*b;
}

/* Memory behind the module, as near as there is some; NULL when there is none within reach. */
static void *near_module(SIZE_T bytes, ULONG image_bytes)
{
	const ULONG_PTR step = 0x10000, reach = 0x70000000;
	ULONG_PTR at = ((ULONG_PTR)module + image_bytes + step - 1) & ~(step - 1);

	for (; at - (ULONG_PTR)module < reach; at += step) {
		PVOID base = (PVOID)at;
		SIZE_T size = bytes;

		if (ZwAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE | MEM_COMMIT,
					    PAGE_EXECUTE_READWRITE) >= 0)
			return base;
	}
	return NULL;
}

static NTSTATUS write_entry(ULONG offset, ULONG bytes)
{
	PVOID page = entry;
	SIZE_T size = sizeof *entry;
	ULONG old;
	NTSTATUS status = NtProtectVirtualMemory(NtCurrentProcess(), &page, &size, PAGE_READWRITE, &old);

	if (status < 0)
		return status;
	entry->VirtualAddress = offset;
	entry->Size = bytes;
	return NtProtectVirtualMemory(NtCurrentProcess(), &page, &size, old, &old);
}

/* The copy under construction: functions by ordinal, and names in their order with the ordinals beside them. */
struct table {
	ULONG *functions;
	ULONG *names;
	USHORT *ordinals;
	ULONG function_count, name_count;
};

static void enter(struct table *table, const char *name, ULONG offset)
{
	ULONG low = 0, high = table->name_count, at;

	while (low < high) {
		int order;

		at = (low + high) / 2;
		order = compare(name, (const char *)module + table->names[at]);
		if (!order) {
			table->functions[table->ordinals[at]] = offset;
			return;
		}
		if (order < 0)
			high = at;
		else
			low = at + 1;
	}
	for (at = table->name_count; at > low; at--) {
		table->names[at] = table->names[at - 1];
		table->ordinals[at] = table->ordinals[at - 1];
	}
	table->names[low] = (ULONG)((const UCHAR *)name - module);
	table->ordinals[low] = (USHORT)table->function_count;
	table->functions[table->function_count++] = offset;
	table->name_count++;
}

NTSTATUS exports_extend(const struct routine *routines, ULONG count)
{
	UNICODE_STRING name = RTL_CONSTANT_STRING(L"ntoskrnl.exe");
	IMAGE_EXPORT_DIRECTORY *old, *new;
	IMAGE_NT_HEADERS *headers;
	struct table table;
	struct jump *jumps;
	char *texts;
	SIZE_T bytes, most, text_bytes = 0;
	NTSTATUS status;
	ULONG index;

	status = LdrGetDllHandle(NULL, NULL, &name, (HANDLE *)&module);
	if (status < 0)
		return status;
	headers = RtlImageNtHeader(module);
	entry = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT];
	before = *entry;
	old = (IMAGE_EXPORT_DIRECTORY *)(module + before.VirtualAddress);
	for (index = 0; index < count; index++)
		text_bytes += strlen(routines[index].name) + 1;
	most = old->NumberOfFunctions + count;
	/* An offset inside of the directory would name a forwarded export, so the jumps come behind it. */
	bytes = sizeof *new + most * (2 * sizeof(ULONG) + sizeof(USHORT)) + text_bytes;
	bytes = (bytes + 15) & ~(SIZE_T)15;
	new = block = near_module(bytes + count * sizeof *jumps, headers->OptionalHeader.SizeOfImage);
	if (!block)
		return STATUS_NO_MEMORY;
	*new = *old;
	table.functions = (ULONG *)(new + 1);
	table.names = table.functions + most;
	table.ordinals = (USHORT *)(table.names + most);
	texts = (char *)(table.ordinals + most);
	jumps = (struct jump *)((UCHAR *)block + bytes);
	table.function_count = old->NumberOfFunctions;
	table.name_count = old->NumberOfNames;
	RtlCopyMemory(table.functions, module + old->AddressOfFunctions, table.function_count * sizeof(ULONG));
	RtlCopyMemory(table.names, module + old->AddressOfNames, table.name_count * sizeof(ULONG));
	RtlCopyMemory(table.ordinals, module + old->AddressOfNameOrdinals, table.name_count * sizeof(USHORT));
	for (index = 0; index < count; index++) {
		SIZE_T length = strlen(routines[index].name) + 1;

		RtlCopyMemory(jumps[index].code, jump_code, sizeof jump_code);
		jumps[index].target = routines[index].address;
		RtlCopyMemory(texts, routines[index].name, length);
		enter(&table, texts, (ULONG)((UCHAR *)&jumps[index] - module));
		texts += length;
	}
	new->NumberOfFunctions = table.function_count;
	new->NumberOfNames = table.name_count;
	new->AddressOfFunctions = (ULONG)((UCHAR *)table.functions - module);
	new->AddressOfNames = (ULONG)((UCHAR *)table.names - module);
	new->AddressOfNameOrdinals = (ULONG)((UCHAR *)table.ordinals - module);
	return write_entry((ULONG)((UCHAR *)new - module), (ULONG)bytes);
}

void exports_restore(void)
{
	SIZE_T bytes = 0;

	write_entry(before.VirtualAddress, before.Size);
	ZwFreeVirtualMemory(NtCurrentProcess(), &block, &bytes, MEM_RELEASE);
}
