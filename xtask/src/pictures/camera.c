// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes pictures of the set-up program's pages, under Wine: starts it, waits for a page, writes what is on the screen
 * there to a file, and presses "Next". After the last page the program must have ended by itself.
 *
 *   camera PROGRAM PAGE.ppm...        a "-" for a page that is not wanted
 *
 * A page is a dialog inside the program's dialog; the next page is another one. A box with a message is answered with OK.
 */
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

static DWORD program;
static HWND outer, box, page;

/* The class of every dialog. */
static BOOL is_dialog(HWND window)
{
	wchar_t name[16];

	return GetClassNameW(window, name, 16) && !wcscmp(name, L"#32770") && IsWindowVisible(window);
}

static BOOL CALLBACK look(HWND window, LPARAM unused)
{
	DWORD owner;

	(void)unused;
	GetWindowThreadProcessId(window, &owner);
	if (owner == program && is_dialog(window)) {
		if (GetWindow(window, GW_OWNER))
			box = window;
		else
			outer = window;
	}
	return TRUE;
}

static BOOL CALLBACK look_inside(HWND window, LPARAM unused)
{
	(void)unused;
	if (is_dialog(window))
		page = window;
	return !page;
}

/* Waits for another page than `before`, whose button can be pressed: the page of the installation itself has none. */
static HWND next_page(HWND before)
{
	int i;

	for (i = 0; i < 1200; i++) {
		outer = box = page = NULL;
		EnumWindows(look, 0);
		if (box)
			PostMessageW(box, WM_COMMAND, IDOK, 0);
		if (outer)
			EnumChildWindows(outer, look_inside, 0);
		if (page && page != before && !box && IsWindowEnabled(GetDlgItem(outer, IDOK)))
			return page;
		Sleep(100);
	}
	fprintf(stderr, "camera: there is no other page\n");
	exit(3);
}

/* Writes what is on the screen where the window is, as a portable pixmap. */
static void take(const wchar_t *path)
{
	BITMAPINFOHEADER head = { .biSize = sizeof head, .biPlanes = 1, .biBitCount = 32 };
	HDC screen = GetDC(NULL), memory = CreateCompatibleDC(screen);
	HBITMAP bitmap;
	unsigned char *bits;
	FILE *to;
	RECT at;
	LONG pixel, pixels;

	SetForegroundWindow(outer);
	UpdateWindow(outer);
	/* What draws itself later, in the program's own thread, gets time to. */
	Sleep(1500);
	/* Without the frame, which a window manager would draw. */
	GetClientRect(outer, &at);
	MapWindowPoints(outer, NULL, (POINT *)&at, 2);
	head.biWidth = at.right - at.left;
	/* From top to bottom. */
	head.biHeight = at.top - at.bottom;
	bitmap = CreateDIBSection(screen, (BITMAPINFO *)&head, DIB_RGB_COLORS, (void **)&bits, NULL, 0);
	SelectObject(memory, bitmap);
	BitBlt(memory, 0, 0, head.biWidth, -head.biHeight, screen, at.left, at.top, SRCCOPY);
	GdiFlush();
	to = _wfopen(path, L"wb");
	if (!to) {
		fprintf(stderr, "camera: a picture cannot be written\n");
		exit(4);
	}
	fprintf(to, "P6\n%ld %ld\n255\n", head.biWidth, -head.biHeight);
	pixels = head.biWidth * -head.biHeight;
	for (pixel = 0; pixel < pixels; pixel++, bits += 4) {
		fputc(bits[2], to);
		fputc(bits[1], to);
		fputc(bits[0], to);
	}
	if (fclose(to)) {
		fprintf(stderr, "camera: a picture was not written\n");
		exit(4);
	}
}

int wmain(int argc, wchar_t **argv)
{
	STARTUPINFOW how = { .cb = sizeof how };
	PROCESS_INFORMATION started;
	HWND before = NULL;
	DWORD code;
	int i;

	if (argc < 3 || !CreateProcessW(NULL, argv[1], NULL, NULL, FALSE, 0, NULL, NULL, &how, &started)) {
		fprintf(stderr, "camera: the program does not start\n");
		return 2;
	}
	program = started.dwProcessId;
	for (i = 2; i < argc; i++) {
		before = next_page(before);
		if (wcscmp(argv[i], L"-"))
			take(argv[i]);
		PostMessageW(outer, WM_COMMAND, IDOK, 0);
	}
	if (WaitForSingleObject(started.hProcess, 60000) || !GetExitCodeProcess(started.hProcess, &code) || code) {
		fprintf(stderr, "camera: the program does not end, or not well\n");
		return 5;
	}
	return 0;
}
