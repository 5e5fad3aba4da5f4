/* SPDX-License-Identifier: GPL-2.0 */
/* Words at any address, aligned or not; the compiler makes one instruction of each. */
#ifndef _LKL_LIB_WORD_H
#define _LKL_LIB_WORD_H

#define LOAD(type, from)	({ type word_; __builtin_memcpy(&word_, (from), sizeof(word_)); word_; })
#define STORE(to, word)		__builtin_memcpy((to), &(word), sizeof(word))

#endif
