/*
 * What bindgen reads. Clang's vector intrinsics do not parse in this mode and nothing here needs them: their guards are
 * defined so that they stay out.
 */
#define __AMXINTRIN_H
#define __AMXTILEINTRIN_H
#define __IMMINTRIN_H
#define __X86INTRIN_H
#include <ntifs.h>
#include <ntdddisk.h>
#include <mountmgr.h>
#include <mountdev.h>
