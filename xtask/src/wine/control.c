/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests under Wine: opens the driver's control device, asks for its status, and prints the answer. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <windows.h>
#include <winioctl.h>

/* IOCTL_QUERY_STATUS of driver/nt/src/control.rs. */
#define QUERY_STATUS ((0x9C4Bu << 16) | (0x800u << 2))

int main(void)
{
	unsigned char answer[256];
	uint32_t linux_running;
	DWORD bytes = 0;
	HANDLE device = CreateFileW(L"\\\\.\\Lklfs", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);

	if (device == INVALID_HANDLE_VALUE) {
		fprintf(stderr, "open: error %lu\n", GetLastError());
		return 1;
	}
	if (!DeviceIoControl(device, QUERY_STATUS, NULL, 0, answer, sizeof answer, &bytes, NULL)) {
		fprintf(stderr, "status: error %lu\n", GetLastError());
		return 2;
	}
	if (bytes < 20) {
		fprintf(stderr, "status: %lu bytes\n", bytes);
		return 3;
	}
	memcpy(&linux_running, answer + 16, sizeof linux_running);
	printf("status: %lu bytes, Linux %s\n", bytes, linux_running ? "runs" : "does not run");
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
