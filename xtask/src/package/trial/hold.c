/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For the trial: a program that talks to the driver. It opens the driver's control device, says so by making the file "held",
 * and keeps it open until there is a file "let-go".
 */
#include <stdio.h>
#include <windows.h>

int main(void)
{
	HANDLE device = CreateFileW(L"\\\\.\\Lklfs", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
	HANDLE file;
	int left;

	if (device == INVALID_HANDLE_VALUE) {
		fprintf(stderr, "open: error %lu\n", GetLastError());
		return 1;
	}
	file = CreateFileW(L"held", GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
	if (file == INVALID_HANDLE_VALUE || !CloseHandle(file))
		return 2;
	/* Five minutes: the trial, which lets it go, may have failed. */
	for (left = 6000; left > 0; left--) {
		if (GetFileAttributesW(L"let-go") != INVALID_FILE_ATTRIBUTES)
			return CloseHandle(device) ? 0 : 3;
		Sleep(50);
	}
	return 4;
}
