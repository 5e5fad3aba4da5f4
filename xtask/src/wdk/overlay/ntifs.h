/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in front of mingw-w64's ntifs.h when bindgen makes wdk-sys' bindings on a machine without the WDK.
 * It keeps clang's AMX headers out, which do not parse for this target, and declares what the driver looks up at
 * run time and mingw-w64 does not know yet.
 */
#ifndef LKLFS_OVERLAY_NTIFS_H
#define LKLFS_OVERLAY_NTIFS_H

#define __AMXINTRIN_H
#define __AMX_COMPLEXINTRIN_H
#define __AMX_FP16INTRIN_H

#include "ddk/ntifs.h"

typedef unsigned long long POOL_FLAGS;

#define POOL_FLAG_REQUIRED_START 0x0000000000000001ULL
#define POOL_FLAG_USE_QUOTA 0x0000000000000001ULL
#define POOL_FLAG_UNINITIALIZED 0x0000000000000002ULL
#define POOL_FLAG_SESSION 0x0000000000000004ULL
#define POOL_FLAG_CACHE_ALIGNED 0x0000000000000008ULL
#define POOL_FLAG_RAISE_ON_FAILURE 0x0000000000000020ULL
#define POOL_FLAG_NON_PAGED 0x0000000000000040ULL
#define POOL_FLAG_NON_PAGED_EXECUTE 0x0000000000000080ULL
#define POOL_FLAG_PAGED 0x0000000000000100ULL

PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);

#endif
