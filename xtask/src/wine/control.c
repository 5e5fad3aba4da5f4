/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For tests under Wine: opens the driver's control device, asks for its status, and prints the answer. LKLFS_INTERFACE is
 * the version of the control interface.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <windows.h>
#include <winioctl.h>

/* Code::Status of driver/control, with the right to read; and what every request begins with. */
#define STATUS ((0x9C4Bu << 16) | (FILE_READ_ACCESS << 14) | (0x811u << 2))

struct header {
	uint32_t size, fixed, version, reserved;
};

int main(void)
{
	struct header request = { sizeof request, sizeof request, LKLFS_INTERFACE, 0 };
	unsigned char answer[256];
	uint32_t flags;
	DWORD bytes = 0;
	HANDLE device = CreateFileW(L"\\\\.\\Lklfs", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);

	if (device == INVALID_HANDLE_VALUE) {
		fprintf(stderr, "open: error %lu\n", GetLastError());
		return 1;
	}
	if (!DeviceIoControl(device, STATUS, &request, sizeof request, answer, sizeof answer, &bytes, NULL)) {
		fprintf(stderr, "status: error %lu\n", GetLastError());
		return 2;
	}
	if (bytes < 20) {
		fprintf(stderr, "status: %lu bytes\n", bytes);
		return 3;
	}
	memcpy(&flags, answer + sizeof request, sizeof flags);
	printf("status: %lu bytes, Linux %s\n", bytes, flags & 1 ? "runs" : "does not run");
	/* What it does not know it must refuse, not crash on. */
	if (DeviceIoControl(device, 0x222222, NULL, 0, answer, sizeof answer, &bytes, NULL) ||
	    GetLastError() != ERROR_INVALID_FUNCTION) {
		fprintf(stderr, "an unknown control: error %lu\n", GetLastError());
		return 4;
	}
	if (!CloseHandle(device)) {
		fprintf(stderr, "close: error %lu\n", GetLastError());
		return 5;
	}
	return 0;
}
