/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who opens: the kernel, which is not checked, or a user, whose token is held against the file's security descriptor. The
 * check itself is that of Wine's server (NtAccessCheck). Two users are known: the one whom Wine runs for, who is an
 * administrator, and the same without that group. A subject's token is a handle here.
 */
#include "iomgr.h"

NTSYSAPI NTSTATUS NTAPI NtAccessCheck(PSECURITY_DESCRIPTOR descriptor, HANDLE token, ACCESS_MASK access,
				      const GENERIC_MAPPING *mapping, PRIVILEGE_SET *privileges, ULONG *bytes,
				      ULONG *granted, NTSTATUS *status);
NTSYSAPI NTSTATUS NTAPI NtFilterToken(HANDLE token, ULONG flags, TOKEN_GROUPS *disable, TOKEN_PRIVILEGES *remove,
				      TOKEN_GROUPS *restrict_to, HANDLE *filtered);
NTSYSAPI NTSTATUS NTAPI NtDuplicateToken(HANDLE token, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes,
					 BOOLEAN effective, TOKEN_TYPE type, HANDLE *duplicate);

/* What a file's generic rights are. */
static GENERIC_MAPPING mapping = { FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE, FILE_ALL_ACCESS };

/* S-1-5-32-544 */
static struct {
	UCHAR revision, count, authority[6];
	ULONG parts[2];
} administrators = { 1, 2, { 0, 0, 0, 0, 0, 5 }, { 32, 544 } };

/* By enum opener. */
static HANDLE tokens[OPENERS];

/* Clients whose token is held, and threads that act for one. */
static LONG clients, clients_acting;

GENERIC_MAPPING *NTAPI se_mapping(void)
{
	return &mapping;
}

static NTSTATUS impersonation(HANDLE token, HANDLE *duplicate)
{
	SECURITY_QUALITY_OF_SERVICE quality = { sizeof quality, SecurityImpersonation, FALSE, FALSE };
	OBJECT_ATTRIBUTES attributes;

	InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
	attributes.SecurityQualityOfService = &quality;
	return NtDuplicateToken(token, TOKEN_ALL_ACCESS, &attributes, FALSE, TokenImpersonation, duplicate);
}

NTSTATUS se_start(void)
{
	TOKEN_GROUPS groups = { 1, { { &administrators, 0 } } };
	HANDLE own, filtered;
	NTSTATUS status = ZwOpenProcessTokenEx(NtCurrentProcess(), TOKEN_ALL_ACCESS, OBJ_KERNEL_HANDLE, &own);

	if (status < 0)
		return status;
	status = impersonation(own, &tokens[ADMINISTRATOR]);
	if (status >= 0)
		status = NtFilterToken(own, 0, &groups, NULL, NULL, &filtered);
	if (status >= 0) {
		status = impersonation(filtered, &tokens[STANDARD_USER]);
		ZwClose(filtered);
	}
	ZwClose(own);
	if (status < 0)
		se_stop();
	return status;
}

void se_stop(void)
{
	ULONG index;

	if (clients || clients_acting)
		report("a client's token, or a thread that acts for one, is left");

	for (index = 0; index < OPENERS; index++) {
		if (tokens[index])
			ZwClose(tokens[index]);
		tokens[index] = NULL;
	}
}

/* Enters who opens in the state of an open. */
void se_subject(ACCESS_STATE *state, enum opener opener)
{
	state->SubjectSecurityContext.PrimaryToken = tokens[opener];
}

BOOLEAN NTAPI se_check(PSECURITY_DESCRIPTOR descriptor, SECURITY_SUBJECT_CONTEXT *subject, BOOLEAN locked,
		       ACCESS_MASK access, ACCESS_MASK before, PRIVILEGE_SET **privileges, GENERIC_MAPPING *generic,
		       KPROCESSOR_MODE mode, ACCESS_MASK *granted, NTSTATUS *access_status)
{
	UCHAR room[256];
	ULONG bytes = sizeof room;
	NTSTATUS status;

	(void)locked;
	if (privileges)
		*privileges = NULL;
	if (mode == KernelMode || !subject->PrimaryToken) {
		report("SeAccessCheck: for the kernel, or for nobody");
		*access_status = STATUS_ACCESS_DENIED;
		return FALSE;
	}
	status = NtAccessCheck(descriptor, subject->PrimaryToken, access, generic, (PRIVILEGE_SET *)room, &bytes,
			       granted, access_status);
	if (status < 0) {
		report("SeAccessCheck: Wine's server cannot check the descriptor");
		*access_status = status;
	}
	*granted |= before;
	return *access_status >= 0;
}

/* Wine hands out none. */
void NTAPI se_free_privileges(PRIVILEGE_SET *privileges)
{
	(void)privileges;
	report("SeFreePrivileges: there are none");
}

/*
 * Who asks for something that another thread does. Wine opens files as the user that it runs for in any thread, so this
 * only counts; a token is the address of the counter.
 */
NTSTATUS NTAPI se_create_client(PETHREAD thread, SECURITY_QUALITY_OF_SERVICE *quality, BOOLEAN remote,
				SECURITY_CLIENT_CONTEXT *context)
{
	(void)thread, (void)remote;
	RtlZeroMemory(context, sizeof *context);
	context->SecurityQos = *quality;
	context->ClientToken = &clients;
	InterlockedIncrement(&clients);
	return STATUS_SUCCESS;
}

NTSTATUS NTAPI se_impersonate(SECURITY_CLIENT_CONTEXT *context, PETHREAD thread)
{
	if (context->ClientToken != &clients || thread)
		report("SeImpersonateClientEx: not a client of this driver's, or another thread");
	InterlockedIncrement(&clients_acting);
	return STATUS_SUCCESS;
}

void NTAPI se_revert(void)
{
	InterlockedDecrement(&clients_acting);
}

TOKEN_TYPE NTAPI se_token_type(PACCESS_TOKEN token)
{
	(void)token;
	return TokenImpersonation;
}

void NTAPI se_dereference_token(PACCESS_TOKEN token)
{
	if (token != &clients)
		report("a token that is no client's is given back");
	InterlockedDecrement(&clients);
}
