/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Load and unload, and the routines that this driver supplies. A routine that is not here stays Wine's: its own, or a
 * stub that ends the process with the routine's name when it is called.
 */
#include "iomgr.h"

#define SUPPLY(name, function) { #name, function }

static const struct routine routines[] = {
	/* Stubs in Wine 8, or not there. */
	SUPPLY(CcCopyRead, cache_read),
	SUPPLY(CcInitializeCacheMap, cache_initialize),
	SUPPLY(CcPurgeCacheSection, cache_purge),
	SUPPLY(CcUninitializeCacheMap, cache_uninitialize),
	SUPPLY(CcWaitForCurrentLazyWriterActivity, cache_wait),
	SUPPLY(FsRtlCheckLockForReadAccess, fsrtl_check_read),
	SUPPLY(FsRtlFastUnlockAll, fsrtl_unlock_all),
	SUPPLY(FsRtlInitializeFileLock, fsrtl_initialize_lock),
	SUPPLY(FsRtlNotifyCleanup, fsrtl_notify_cleanup),
	SUPPLY(FsRtlNotifyInitializeSync, fsrtl_notify_initialize),
	SUPPLY(FsRtlNotifyUninitializeSync, fsrtl_notify_uninitialize),
	SUPPLY(FsRtlNotifyVolumeEvent, fsrtl_notify_volume_event),
	SUPPLY(FsRtlUninitializeFileLock, fsrtl_uninitialize_lock),
	SUPPLY(IoAcquireVpbSpinLock, devices_acquire_vpb_lock),
	SUPPLY(IoCheckShareAccess, fsrtl_check_share),
	SUPPLY(IoGetFileObjectGenericMapping, se_mapping),
	SUPPLY(IoGetLowerDeviceObject, devices_lower),
	SUPPLY(IoGetTopLevelIrp, request_top_level),
	SUPPLY(IoReleaseVpbSpinLock, devices_release_vpb_lock),
	SUPPLY(IoRemoveShareAccess, fsrtl_remove_share),
	SUPPLY(IoSetDeviceToVerify, request_set_device_to_verify),
	SUPPLY(IoSetTopLevelIrp, request_set_top_level),
	SUPPLY(KeQueryRuntimeThread, time_of_thread),
	SUPPLY(MmAllocatePagesForMdlEx, memory_allocate_pages),
	SUPPLY(MmFlushImageSection, cache_flush_image),
	SUPPLY(MmFreePagesFromMdl, memory_free_pages),
	SUPPLY(PsDereferenceImpersonationToken, se_dereference_token),
	SUPPLY(PsDereferencePrimaryToken, se_dereference_token),
	SUPPLY(PsRevertToSelf, se_revert),
	SUPPLY(SeAccessCheck, se_check),
	SUPPLY(SeCreateClientSecurity, se_create_client),
	SUPPLY(SeFreePrivileges, se_free_privileges),
	SUPPLY(SeImpersonateClientEx, se_impersonate),
	SUPPLY(SeTokenType, se_token_type),
	/* Do nothing, or not what a file system needs. */
	SUPPLY(IoAllocateMdl, memory_allocate_mdl),
	SUPPLY(IoBuildDeviceIoControlRequest, request_build_control),
	SUPPLY(IoFreeMdl, memory_free_mdl),
	SUPPLY(IoGetRelatedDeviceObject, files_related_device),
	SUPPLY(IoRegisterFileSystem, devices_register),
	SUPPLY(IoUnregisterFileSystem, devices_unregister),
	SUPPLY(KeCancelTimer, time_cancel),
	SUPPLY(KeFlushQueuedDpcs, time_flush),
	SUPPLY(KeInitializeTimer, time_initialize),
	SUPPLY(KeSetTimer, time_set),
	SUPPLY(MmBuildMdlForNonPagedPool, memory_build_mdl),
	SUPPLY(MmGetPhysicalAddress, memory_physical),
	SUPPLY(MmMapLockedPagesSpecifyCache, memory_map),
	SUPPLY(MmProbeAndLockPages, memory_lock),
	SUPPLY(MmUnlockPages, memory_unlock),
	SUPPLY(MmUnmapLockedPages, memory_unmap),
	/* Wine's own, with file objects and devices of drivers before them. */
	SUPPLY(IoCreateDevice, devices_create),
	SUPPLY(IoDeleteDevice, devices_delete),
	SUPPLY(ObReferenceObjectByHandle, files_reference_by_handle),
	SUPPLY(ObfDereferenceObject, files_dereference),
	SUPPLY(ObfReferenceObject, files_reference),
	SUPPLY(ZwClose, zw_close),
	SUPPLY(ZwCreateFile, zw_create_file),
	SUPPLY(ZwDeviceIoControlFile, zw_device_control),
	SUPPLY(ZwFsControlFile, zw_fs_control),
	SUPPLY(ZwOpenFile, zw_open_file),
};

NTSTATUS start_thread(PKSTART_ROUTINE routine, PVOID *thread)
{
	HANDLE handle;
	NTSTATUS status = PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, routine, NULL);

	if (status < 0)
		return status;
	status = ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, thread, NULL);
	ZwClose(handle);
	return status;
}

void join_thread(PVOID thread)
{
	KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
	ObfDereferenceObject(thread);
}

/* Every driver that was bound to the routines is gone by now. */
static void NTAPI unload(DRIVER_OBJECT *driver)
{
	(void)driver;
	exports_restore();
	control_stop();
	work_stop();
	time_stop();
	se_stop();
	request_stop();
	devices_forget();
}

/*
 * Wine takes a driver that imports from ntdll.dll for a library of programs, too: the entry is first called as DllMain is,
 * with a module and a number for the reason, and at the end once more. Nothing is done then.
 */
NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *registry_path)
{
	NTSTATUS status;

	if ((ULONG_PTR)registry_path < 0x10000)
		return TRUE;
	status = request_start();
	if (status < 0)
		return status;
	status = se_start();
	if (status < 0)
		goto no_tokens;
	status = time_start();
	if (status < 0)
		goto no_time;
	status = work_start();
	if (status < 0)
		goto no_work;
	status = control_start(driver);
	if (status < 0)
		goto no_control;
	status = exports_extend(routines, RTL_NUMBER_OF(routines));
	if (status < 0)
		goto no_exports;
	driver->DriverUnload = unload;
	return STATUS_SUCCESS;
no_exports:
	control_stop();
no_control:
	work_stop();
no_work:
	time_stop();
no_time:
	se_stop();
no_tokens:
	request_stop();
	return status;
}
