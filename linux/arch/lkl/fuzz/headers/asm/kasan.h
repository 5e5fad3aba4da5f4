/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_LKL_KASAN_H
#define _ASM_LKL_KASAN_H

#include <linux/const.h>

#define KASAN_SHADOW_SCALE_SHIFT	3
#define KASAN_SHADOW_OFFSET		_AC(CONFIG_KASAN_SHADOW_OFFSET, UL)
/* Of what a program on x86-64 may map. */
#define KASAN_SHADOW_START		KASAN_SHADOW_OFFSET
#define KASAN_SHADOW_END		(KASAN_SHADOW_START + (_AC(1, UL) << (47 - KASAN_SHADOW_SCALE_SHIFT)))

#endif
