//! What programs expect of a C library and Linux's public headers lack: `<lkl/libc.h>`.
//!
//! Numbers and structures are taken from Linux's own headers where programs see them as Linux does. The few that Linux
//! has in a shape of its own are written here as system calls take them.

use crate::extract::Piece::{self, Enum, Macros, Struct, Type};

/// What stands before the pieces, in Linux's names.
pub const PRELUDE: &str = "\
#include <stddef.h>
#include <linux/types.h>
#include <linux/posix_types.h>
#include <asm/fcntl.h>
#include <linux/errno.h>
#include <linux/socket.h>
#include <linux/uio.h>

typedef unsigned short umode_t;
typedef __kernel_sa_family_t sa_family_t;

struct sockaddr {
	sa_family_t sa_family;
	char sa_data[14];
};

struct msghdr {
	void *msg_name;
	int msg_namelen;
	struct iovec *msg_iov;
	__kernel_size_t msg_iovlen;
	void *msg_control;
	__kernel_size_t msg_controllen;
	unsigned int msg_flags;
};

struct mmsghdr {
	struct msghdr msg_hdr;
	unsigned int msg_len;
};

struct linux_dirent64 {
	__u64 d_ino;
	__s64 d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

#define CMSG_ALIGN(len) (((len) + sizeof(__u64) - 1) & ~(sizeof(__u64) - 1))
#define CMSG_DATA(cmsg) ((unsigned char *)(cmsg) + sizeof(struct cmsghdr))
#define CMSG_SPACE(len) (sizeof(struct cmsghdr) + CMSG_ALIGN(len))
#define CMSG_LEN(len) (sizeof(struct cmsghdr) + (len))
#define CMSG_FIRSTHDR(msg) \\
	((msg)->msg_controllen >= sizeof(struct cmsghdr) ? (struct cmsghdr *)(msg)->msg_control : (struct cmsghdr *)0)

";

/// What is taken from which header of Linux's, besides.
pub const PIECES: &[(&str, &[Piece])] = &[
    (
        "include/linux/types.h",
        &[
            Type("fd_set"),
            Type("mode_t"),
            Type("off_t"),
            Type("pid_t"),
            Type("key_t"),
            Type("timer_t"),
            Type("clockid_t"),
            Type("mqd_t"),
            Type("uid_t"),
            Type("gid_t"),
            Type("loff_t"),
        ],
    ),
    (
        "include/linux/socket.h",
        &[
            Struct("linger"),
            Struct("cmsghdr"),
            Struct("ucred"),
            Macros(&["AF_", "PF_", "SOL_", "MSG_", "SCM_"]),
        ],
    ),
    (
        "include/linux/net.h",
        &[
            Enum("sock_type"),
            Macros(&["SOCK_CLOEXEC", "SOCK_NONBLOCK"]),
            Enum("sock_shutdown_cmd"),
        ],
    ),
    (
        "include/linux/fs_types.h",
        &[Macros(&[
            "DT_UNKNOWN",
            "DT_FIFO",
            "DT_CHR",
            "DT_DIR",
            "DT_BLK",
            "DT_REG",
            "DT_LNK",
            "DT_SOCK",
            "DT_WHT",
        ])],
    ),
];

/// What system calls' prototypes are made of, besides.
pub const CALLS_PRELUDE: &str = "\
#include <lkl/libc.h>
#include <asm/unistd.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/poll.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <linux/eventpoll.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/quota.h>
#include <linux/reboot.h>
#include <linux/resource.h>
#include <linux/stat.h>
#include <linux/sysinfo.h>
#include <linux/time.h>
#include <linux/times.h>
#include <linux/utime.h>
#include <linux/utsname.h>

";

/// Names of the kernel's own for types that have a public one.
pub const PUBLIC: &[(&str, &str)] = &[
    ("u8", "__u8"),
    ("u16", "__u16"),
    ("u32", "__u32"),
    ("s32", "__s32"),
    ("u64", "__u64"),
    ("s64", "__s64"),
    ("qid_t", "__kernel_uid32_t"),
    ("rwf_t", "__kernel_rwf_t"),
    ("key_serial_t", "__s32"),
    ("user_msghdr", "msghdr"),
    ("ssize_t", "__kernel_ssize_t"),
];

/// The text of `<lkl/abi.h>`, which every header includes.
pub const ABI: &str = "\
/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Linux's long has the width of a pointer. So has that of most hosts, but not Windows'.
 */
#ifndef __LKL_ABI_H
#define __LKL_ABI_H

#ifdef _WIN32
#define __lkl__long long long
#else
#define __lkl__long long
#endif

/* Any argument of a system call fits. */
typedef unsigned __lkl__long __lkl__word;

#endif
";
