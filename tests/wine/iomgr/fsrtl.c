/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What else a file system calls on the way of the requests that are sent here. Requests that would lock a range or pend a
 * notification are not sent: FsRtlProcessFileLock and FsRtlNotifyFullChangeDirectory stay Wine's stubs, which end the
 * process with their name; so no range is ever locked and no notification pended.
 */
#include "iomgr.h"

void NTAPI fsrtl_initialize_lock(FILE_LOCK *lock, PCOMPLETE_LOCK_IRP_ROUTINE complete, PUNLOCK_ROUTINE unlock)
{
	RtlZeroMemory(lock, sizeof *lock);
	lock->CompleteLockIrpRoutine = complete;
	lock->UnlockRoutine = unlock;
}

static BOOLEAN is_empty(const FILE_LOCK *lock)
{
	if (!lock->LockInformation)
		return TRUE;
	report("a file lock that this driver did not fill");
	return FALSE;
}

void NTAPI fsrtl_uninitialize_lock(FILE_LOCK *lock)
{
	is_empty(lock);
}

BOOLEAN NTAPI fsrtl_check_read(FILE_LOCK *lock, IRP *irp)
{
	(void)irp;
	return is_empty(lock);
}

NTSTATUS NTAPI fsrtl_unlock_all(FILE_LOCK *lock, FILE_OBJECT *file, PEPROCESS process, PVOID context)
{
	(void)file, (void)process, (void)context;
	is_empty(lock);
	return STATUS_RANGE_NOT_LOCKED;
}

void NTAPI fsrtl_notify_initialize(PNOTIFY_SYNC *sync)
{
	*sync = allocate(sizeof(FAST_MUTEX));
	if (!*sync)
		ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
}

void NTAPI fsrtl_notify_uninitialize(PNOTIFY_SYNC *sync)
{
	discard(*sync);
	*sync = NULL;
}

void NTAPI fsrtl_notify_cleanup(PNOTIFY_SYNC sync, LIST_ENTRY *list, PVOID context)
{
	(void)context;
	if (!sync || !IsListEmpty(list))
		report("FsRtlNotifyCleanup: a list that this driver did not fill");
}

/* Nothing listens to volumes here. */
NTSTATUS NTAPI fsrtl_notify_volume_event(FILE_OBJECT *file, ULONG event)
{
	if (!file || event < 1 || event > 6)
		report("FsRtlNotifyVolumeEvent: no file object, or an unknown event");
	return STATUS_SUCCESS;
}

/* Whether an open that wants this goes with those that are there; on success it is counted, if `update` says so. */
NTSTATUS NTAPI fsrtl_check_share(ACCESS_MASK access, ULONG share, FILE_OBJECT *file, SHARE_ACCESS *record,
				 BOOLEAN update)
{
	BOOLEAN read = (access & (FILE_READ_DATA | FILE_EXECUTE)) != 0;
	BOOLEAN write = (access & (FILE_WRITE_DATA | FILE_APPEND_DATA)) != 0;
	BOOLEAN remove = (access & DELETE) != 0;

	file->ReadAccess = read;
	file->WriteAccess = write;
	file->DeleteAccess = remove;
	/* Who wants none of these does not take part. */
	if (!read && !write && !remove)
		return STATUS_SUCCESS;
	file->SharedRead = (share & FILE_SHARE_READ) != 0;
	file->SharedWrite = (share & FILE_SHARE_WRITE) != 0;
	file->SharedDelete = (share & FILE_SHARE_DELETE) != 0;
	if ((read && record->SharedRead < record->OpenCount) || (write && record->SharedWrite < record->OpenCount) ||
	    (remove && record->SharedDelete < record->OpenCount) || (record->Readers && !file->SharedRead) ||
	    (record->Writers && !file->SharedWrite) || (record->Deleters && !file->SharedDelete))
		return STATUS_SHARING_VIOLATION;
	if (update) {
		record->OpenCount++;
		record->Readers += read;
		record->Writers += write;
		record->Deleters += remove;
		record->SharedRead += file->SharedRead;
		record->SharedWrite += file->SharedWrite;
		record->SharedDelete += file->SharedDelete;
	}
	return STATUS_SUCCESS;
}

void NTAPI fsrtl_remove_share(FILE_OBJECT *file, SHARE_ACCESS *record)
{
	if (!file->ReadAccess && !file->WriteAccess && !file->DeleteAccess)
		return;
	if (!record->OpenCount) {
		report("IoRemoveShareAccess: nobody is counted");
		return;
	}
	record->OpenCount--;
	record->Readers -= file->ReadAccess;
	record->Writers -= file->WriteAccess;
	record->Deleters -= file->DeleteAccess;
	record->SharedRead -= file->SharedRead;
	record->SharedWrite -= file->SharedWrite;
	record->SharedDelete -= file->SharedDelete;
}
