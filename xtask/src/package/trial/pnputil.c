// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stand-in for Windows' pnputil.exe, which Wine does not have: it writes down what it is asked, and does of it what
 * set-up looks at afterwards.
 *
 * /add-driver copies the driver and makes the service as the INF says, and prints a name in the driver store, in another
 * language than English, as most of the world's Windows do. /delete-driver with /uninstall takes both away. Names count
 * up from oem42.inf with each request to add.
 */
#include <stdio.h>
#include <wchar.h>
#include <windows.h>

static const wchar_t LOG[] = L"C:\\pnputil.log";

static int lines_with(const wchar_t *what)
{
	wchar_t line[1024];
	FILE *log = _wfopen(LOG, L"r");
	int count = 0;

	while (log && fgetws(line, 1024, log))
		count += wcsstr(line, what) != NULL;
	if (log)
		fclose(log);
	return count;
}

static int add(const wchar_t *inf)
{
	const wchar_t *to = L"C:\\windows\\system32\\drivers\\lklfs.sys";
	wchar_t from[MAX_PATH];
	SC_HANDLE manager, service;
	size_t stem = wcslen(inf) - wcslen(L"inf");

	wcscpy(from, inf);
	wcscpy(from + stem, L"sys");
	if (!CopyFileW(from, to, FALSE))
		return 2;
	manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
	service = CreateServiceW(manager, L"lklfs", L"lklfs", SERVICE_ALL_ACCESS, SERVICE_FILE_SYSTEM_DRIVER,
				 SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, to, NULL, NULL, NULL, NULL, NULL);
	if (!service && GetLastError() != ERROR_SERVICE_EXISTS)
		return 3;
	wprintf(L"Microsoft-PnP-Dienstprogramm\n\nTreiberpaket wird hinzugef\\x81gt:  lklfs.inf\n"
		L"Ver\\x94ffentlichter Name:         oem%d.inf\n", 41 + lines_with(L"/add-driver"));
	return 0;
}

static int delete(void)
{
	SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
	SC_HANDLE service = OpenServiceW(manager, L"lklfs", DELETE);

	if (!service || !DeleteService(service))
		return 4;
	return DeleteFileW(L"C:\\windows\\system32\\drivers\\lklfs.sys") ? 0 : 5;
}

int wmain(int argc, wchar_t **argv)
{
	FILE *log = _wfopen(LOG, L"a");
	int i;

	if (!log || argc < 3)
		return 1;
	for (i = 1; i < argc; i++)
		fwprintf(log, L"%ls%ls", i > 1 ? L" " : L"", argv[i]);
	fwprintf(log, L"\n");
	fclose(log);
	if (!wcscmp(argv[1], L"/add-driver"))
		return add(argv[2]);
	if (argc > 3 && !wcscmp(argv[3], L"/uninstall"))
		return delete();
	return 0;
}
