/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The missing part of Wine 8's I/O manager: a driver for tests, never shipped. It is loaded before lklfs.sys, into the
 * same process, and supplies by name what Wine's ntoskrnl.exe lacks, stubs, or has in a form that no file system can
 * work on. ../README.md says what it replaces, and what a test with it shows and does not show.
 *
 *   entry.c    which routines are supplied; load and unload
 *   exports.c  how a driver that is loaded later comes to call them
 *   devices.c  devices by name, their VPBs, registered file systems
 *   files.c    file objects and their handles
 *   open.c     names, mounts, CREATE, CLEANUP and CLOSE
 *   request.c  IRPs that are sent and waited for
 *   zw.c       Zw routines on devices of drivers; all else goes on to Wine's own
 *   memory.c   MDLs and mappings of pages
 *   time.c     timers and DPCs
 *   fsrtl.c    what else a file system calls: locks, notifications, sharing
 *   cache.c    a cache manager that caches nothing
 *   se.c       access checks
 *   control.c  the device that ../src talks to
 *   work.c     threads on which its calls run
 *   report.c   what was seen that must not be
 *
 * Lock order: a volume's mount lock; then any one of the spin locks (struct lock) of a file, under which nothing is
 * called that could wait.
 */
#ifndef IOMGR_H
#define IOMGR_H

#include <ntifs.h>

/* "Imgr" */
#define TAG 0x72676d49

/* A lock that is held for a few instructions: an SRWLOCK of Wine's ntdll, which needs no server. All zero is free. */
struct lock {
	void *opaque;
};

/* What one waits for with a lock held. All zero is ready for use. */
struct condition {
	void *opaque;
};

NTSYSAPI void NTAPI RtlAcquireSRWLockExclusive(struct lock *);
NTSYSAPI void NTAPI RtlReleaseSRWLockExclusive(struct lock *);
NTSYSAPI NTSTATUS NTAPI RtlSleepConditionVariableSRW(struct condition *, struct lock *, const LARGE_INTEGER *timeout,
						     ULONG flags);
NTSYSAPI void NTAPI RtlWakeAllConditionVariable(struct condition *);

/* The kernel's function: the header's inline one reads a processor block that Wine does not have. */
PETHREAD NTAPI current_thread(void) __asm__("PsGetCurrentThread");

static inline void acquire(struct lock *lock)
{
	RtlAcquireSRWLockExclusive(lock);
}

static inline void release(struct lock *lock)
{
	RtlReleaseSRWLockExclusive(lock);
}

/* Zeroed memory; NULL for lack of it. */
static inline void *allocate(SIZE_T bytes)
{
	void *block = ExAllocatePoolWithTag(NonPagedPool, bytes, TAG);

	if (block)
		RtlZeroMemory(block, bytes);
	return block;
}

static inline void discard(void *block)
{
	if (block)
		ExFreePoolWithTag(block, TAG);
}

/* A device of a driver that was loaded after this one. Its record goes when the device is deleted and nobody uses it. */
struct device {
	LIST_ENTRY link;
	DEVICE_OBJECT *object;
	/* Empty for a device without a name. */
	UNICODE_STRING name;
	/* File objects and requests under way; the object is deleted when there are none. */
	LONG users;
	BOOLEAN doomed;
	/* Held while it is being mounted. */
	FAST_MUTEX mounting;
	/* Keeps its VPB after its end; NULL for a device that no file system can be on. */
	struct vpb *last_vpb;
};

/* A file object of ours. */
struct file {
	LIST_ENTRY link;
	LONG references;
	/* The handle, or NULL once it is closed. */
	HANDLE handle;
	/* The device that was opened, and the one that the requests go to. */
	struct device *device, *target;
	/* Counted while the file object is there. */
	VPB *vpb;
	FILE_OBJECT object;
};

/* Who opens something. */
enum opener { KERNEL, ADMINISTRATOR, STANDARD_USER, OPENERS };

/* How something is opened. */
struct opening {
	enum opener opener;
	/* The directory that the name begins at, or NULL. Referenced by whoever opens. */
	struct file *related;
	UNICODE_STRING name;
	ACCESS_MASK access;
	ULONG attributes;
	ULONG share;
	ULONG disposition;
	ULONG options;
};

/* A request for send(). What it points to stays the caller's. */
struct request {
	/* Major and minor function, flags, file object and parameters. */
	IO_STACK_LOCATION location;
	ULONG irp_flags;
	KPROCESSOR_MODE mode;
	void *system_buffer;
	void *user_buffer;
	MDL *mdl;
};

/* exports.c */
struct routine {
	const char *name;
	void *address;
};

NTSTATUS exports_extend(const struct routine *routines, ULONG count);
void exports_restore(void);

/* devices.c */
NTSTATUS NTAPI devices_create(DRIVER_OBJECT *driver, ULONG extension, UNICODE_STRING *name, DEVICE_TYPE type,
			      ULONG characteristics, BOOLEAN exclusive, DEVICE_OBJECT **device);
void NTAPI devices_delete(DEVICE_OBJECT *object);
void NTAPI devices_register(DEVICE_OBJECT *object);
void NTAPI devices_unregister(DEVICE_OBJECT *object);
struct device *devices_named(const UNICODE_STRING *path, UNICODE_STRING *rest);
struct device *devices_use(DEVICE_OBJECT *object);
void devices_let_go(struct device *device);
DEVICE_OBJECT *devices_top(DEVICE_OBJECT *object);
DEVICE_OBJECT *NTAPI devices_lower(DEVICE_OBJECT *object);
NTSTATUS devices_mount(DEVICE_OBJECT *object);
void devices_count(ULONG *devices, ULONG *file_systems);
void devices_forget(void);
void NTAPI devices_acquire_vpb_lock(KIRQL *irql);
void NTAPI devices_release_vpb_lock(KIRQL irql);

/* files.c */
struct file *files_new(void);
struct file *files_by_handle(HANDLE handle);
BOOLEAN files_is_handle(HANDLE handle);
void files_let_go(struct file *file);
NTSTATUS files_close(HANDLE handle);
ULONG files_count(void);
DEVICE_OBJECT *NTAPI files_related_device(FILE_OBJECT *file);
NTSTATUS NTAPI files_reference_by_handle(HANDLE handle, ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode,
					 PVOID *object, OBJECT_HANDLE_INFORMATION *information);
LONG_PTR FASTCALL files_reference(PVOID object);
LONG_PTR FASTCALL files_dereference(PVOID object);

/* open.c */
NTSTATUS open_path(const struct opening *opening, HANDLE *handle, IO_STATUS_BLOCK *block);
BOOLEAN open_is_ours(const UNICODE_STRING *name);
void open_cleanup(struct file *file);
void open_close(struct file *file);

/* request.c */
NTSTATUS send(DEVICE_OBJECT *device, const struct request *request, IO_STATUS_BLOCK *block);
NTSTATUS send_to_file(struct file *file, struct request *request, IO_STATUS_BLOCK *block);
IRP *NTAPI request_build_control(ULONG code, DEVICE_OBJECT *device, PVOID input, ULONG input_length, PVOID output,
				 ULONG output_length, BOOLEAN internal, KEVENT *event, IO_STATUS_BLOCK *block);
NTSTATUS request_control(struct file *file, UCHAR major, ULONG code, void *input, ULONG input_length, void *output,
			 ULONG output_length, IO_STATUS_BLOCK *block);
IRP *NTAPI request_top_level(void);
void NTAPI request_set_top_level(IRP *irp);
void NTAPI request_set_device_to_verify(PETHREAD thread, DEVICE_OBJECT *object);
NTSTATUS request_start(void);
void request_stop(void);

/* zw.c */
NTSTATUS NTAPI zw_create_file(HANDLE *handle, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes, IO_STATUS_BLOCK *block,
			      LARGE_INTEGER *allocation, ULONG file_attributes, ULONG share, ULONG disposition,
			      ULONG options, PVOID ea, ULONG ea_length);
NTSTATUS NTAPI zw_open_file(HANDLE *handle, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes, IO_STATUS_BLOCK *block,
			    ULONG share, ULONG options);
NTSTATUS NTAPI zw_close(HANDLE handle);
NTSTATUS NTAPI zw_fs_control(HANDLE handle, HANDLE event, PIO_APC_ROUTINE routine, PVOID context,
			     IO_STATUS_BLOCK *block, ULONG code, PVOID input, ULONG input_length, PVOID output,
			     ULONG output_length);
NTSTATUS NTAPI zw_device_control(HANDLE handle, HANDLE event, PIO_APC_ROUTINE routine, PVOID context,
				 IO_STATUS_BLOCK *block, ULONG code, PVOID input, ULONG input_length, PVOID output,
				 ULONG output_length);

/* memory.c */
MDL *NTAPI memory_allocate_pages(PHYSICAL_ADDRESS low, PHYSICAL_ADDRESS high, PHYSICAL_ADDRESS skip, SIZE_T bytes,
				 MEMORY_CACHING_TYPE caching, ULONG flags);
void NTAPI memory_free_pages(MDL *mdl);
MDL *NTAPI memory_allocate_mdl(PVOID address, ULONG bytes, BOOLEAN secondary, BOOLEAN charge_quota, IRP *irp);
void NTAPI memory_free_mdl(MDL *mdl);
void NTAPI memory_build_mdl(MDL *mdl);
void NTAPI memory_lock(MDL *mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation);
void NTAPI memory_unlock(MDL *mdl);
PVOID NTAPI memory_map(MDL *mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE caching, PVOID base, ULONG bug_check,
		       ULONG priority);
void NTAPI memory_unmap(PVOID address, MDL *mdl);
PHYSICAL_ADDRESS NTAPI memory_physical(PVOID address);
ULONG memory_count(void);

/* time.c */
NTSTATUS time_start(void);
void time_stop(void);
void NTAPI time_initialize(KTIMER *timer);
BOOLEAN NTAPI time_set(KTIMER *timer, LARGE_INTEGER due, KDPC *dpc);
BOOLEAN NTAPI time_cancel(KTIMER *timer);
void NTAPI time_flush(void);
ULONG NTAPI time_of_thread(PVOID thread, ULONG *user);
ULONG time_count(void);

/* fsrtl.c */
void NTAPI fsrtl_initialize_lock(FILE_LOCK *lock, PCOMPLETE_LOCK_IRP_ROUTINE complete, PUNLOCK_ROUTINE unlock);
void NTAPI fsrtl_uninitialize_lock(FILE_LOCK *lock);
BOOLEAN NTAPI fsrtl_check_read(FILE_LOCK *lock, IRP *irp);
NTSTATUS NTAPI fsrtl_unlock_all(FILE_LOCK *lock, FILE_OBJECT *file, PEPROCESS process, PVOID context);
void NTAPI fsrtl_notify_initialize(PNOTIFY_SYNC *sync);
void NTAPI fsrtl_notify_uninitialize(PNOTIFY_SYNC *sync);
void NTAPI fsrtl_notify_cleanup(PNOTIFY_SYNC sync, LIST_ENTRY *list, PVOID context);
NTSTATUS NTAPI fsrtl_notify_volume_event(FILE_OBJECT *file, ULONG event);
NTSTATUS NTAPI fsrtl_check_share(ACCESS_MASK access, ULONG share, FILE_OBJECT *file, SHARE_ACCESS *record,
				 BOOLEAN update);
void NTAPI fsrtl_remove_share(FILE_OBJECT *file, SHARE_ACCESS *record);

/* cache.c */
void NTAPI cache_initialize(FILE_OBJECT *file, CC_FILE_SIZES *sizes, BOOLEAN pin, CACHE_MANAGER_CALLBACKS *callbacks,
			    PVOID context);
BOOLEAN NTAPI cache_uninitialize(FILE_OBJECT *file, LARGE_INTEGER *truncate, CACHE_UNINITIALIZE_EVENT *event);
BOOLEAN NTAPI cache_read(FILE_OBJECT *file, LARGE_INTEGER *offset, ULONG length, BOOLEAN wait, PVOID buffer,
			 IO_STATUS_BLOCK *block);
BOOLEAN NTAPI cache_flush_image(SECTION_OBJECT_POINTERS *sections, MMFLUSH_TYPE type);
BOOLEAN NTAPI cache_purge(SECTION_OBJECT_POINTERS *sections, LARGE_INTEGER *offset, ULONG length, BOOLEAN all);
NTSTATUS NTAPI cache_wait(void);
ULONG cache_count(void);

/* se.c */
NTSTATUS se_start(void);
void se_stop(void);
void se_subject(ACCESS_STATE *state, enum opener opener);
BOOLEAN NTAPI se_check(PSECURITY_DESCRIPTOR descriptor, SECURITY_SUBJECT_CONTEXT *subject, BOOLEAN locked,
		       ACCESS_MASK access, ACCESS_MASK before, PRIVILEGE_SET **privileges, GENERIC_MAPPING *generic,
		       KPROCESSOR_MODE mode, ACCESS_MASK *granted, NTSTATUS *access_status);
void NTAPI se_free_privileges(PRIVILEGE_SET *privileges);
NTSTATUS NTAPI se_create_client(PETHREAD thread, SECURITY_QUALITY_OF_SERVICE *quality, BOOLEAN remote,
				SECURITY_CLIENT_CONTEXT *context);
NTSTATUS NTAPI se_impersonate(SECURITY_CLIENT_CONTEXT *context, PETHREAD thread);
void NTAPI se_revert(void);
TOKEN_TYPE NTAPI se_token_type(PACCESS_TOKEN token);
void NTAPI se_dereference_token(PACCESS_TOKEN token);
GENERIC_MAPPING *NTAPI se_mapping(void);

/* control.c */
NTSTATUS control_start(DRIVER_OBJECT *driver);
void control_stop(void);
void control_perform(IRP *irp);

/* work.c */
NTSTATUS work_start(void);
void work_stop(void);
NTSTATUS work_queue(IRP *irp);

/* entry.c */
NTSTATUS start_thread(PKSTART_ROUTINE routine, PVOID *thread);
void join_thread(PVOID thread);

/* report.c */
void report(const char *what);
ULONG report_read(char *out, ULONG room);

#endif
