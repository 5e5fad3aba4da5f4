/* SPDX-License-Identifier: GPL-2.0 */
/* This machine's own Linux in the library's place. */
#ifndef NATIVE_H
#define NATIVE_H

/* Goes to a folder. The caller has made name spaces of its own. */
void native_begin(const char *folder);

#endif
