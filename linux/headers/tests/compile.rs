//! A C compiler takes each generated header by itself, beside the host's own, and its sizes are Linux's.

use lkl_build::Request;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

fn headers() -> PathBuf {
    lkl_headers::headers(&Request::from_env().unwrap()).unwrap()
}

/// What Linux's own build does not expect to compile by itself (`usr/include/Makefile`).
fn excepted() -> BTreeSet<String> {
    let request = Request::from_env().unwrap();
    let id = lkl_build::source::identity(&request.source, &request.cache).unwrap();
    let tree = lkl_build::source::unpack(&request.source, &id, &request.cache).unwrap();
    let makefile = fs::read_to_string(tree.path.join("usr/include/Makefile")).unwrap();
    makefile
        .lines()
        .filter_map(|line| line.trim().strip_prefix("no-header-test += "))
        .map(str::to_owned)
        .collect()
}

/// The errors of a compiler that is given `program`.
fn compiled(compiler: &str, options: &[&str], headers: &Path, program: &str) -> Option<String> {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("program.c");
    fs::write(&file, program).unwrap();
    let output = Command::new(compiler)
        .args(["-fsyntax-only", "-Wall", "-Werror", "-I"])
        .arg(headers)
        .args(options)
        .arg(&file)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn walk(folder: &Path, below: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(folder, &path, found);
        } else {
            found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn each_header_compiles_by_itself() {
    let headers = headers();
    let excepted = excepted();
    let mut files = Vec::new();
    walk(&headers.join("lkl"), &headers.join("lkl"), &mut files);
    files.retain(|file| !excepted.contains(file) && !file.starts_with("asm-generic/"));
    files.sort();
    assert!(files.len() > 850, "{} headers", files.len());
    let next = Mutex::new(files.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(file) = next.lock().unwrap().next() else {
                        break;
                    };
                    // NULL, as a host's headers would give it.
                    let program = format!("#include <stddef.h>\n#include <lkl/{file}>\n");
                    if let Some(errors) = compiled("gcc", &["-std=gnu11"], &headers, &program) {
                        failed.lock().unwrap().push(errors);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} headers:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// Sizes and offsets that Linux's system calls have, on each host.
const LAYOUTS: &str = r#"
#include <lkl/libc.h>
#include <lkl/syscalls.h>
#include <lkl/linux/in.h>
#define SAME(what, is) _Static_assert((what) == (is), #what)
SAME(sizeof(struct lkl_stat), 128);
SAME(offsetof(struct lkl_stat, st_size), 48);
SAME(offsetof(struct lkl_stat, lkl_st_mtime), 88);
SAME(sizeof(struct lkl_statfs), 120);
SAME(sizeof(struct lkl_timespec), 16);
SAME(sizeof(struct lkl_iovec), 16);
SAME(sizeof(struct lkl_msghdr), 56);
SAME(sizeof(struct lkl_sockaddr), 16);
SAME(sizeof(struct lkl_epoll_event), 12);
SAME(sizeof(struct lkl_pollfd), 8);
SAME(offsetof(struct lkl_linux_dirent64, d_name), 19);
SAME(sizeof(__lkl__kernel_loff_t), 8);
SAME(sizeof(__lkl__kernel_size_t), 8);
SAME(sizeof(lkl_sys_lseek(0, 0, 0)), 8);
SAME(LKL_O_RDWR, 2);
SAME(LKL_ENOENT, 2);
SAME(LKL_AF_INET, 2);
SAME(LKL_SOCK_STREAM, 1);
SAME(LKL_S_ISREG(LKL_S_IFREG), 1);
SAME(LKL_MS_RDONLY, 1);
SAME(LKL_POLLIN, 1);
SAME(LKL_DT_DIR, 4);
"#;

#[test]
fn layouts_are_linux_on_each_host() {
    let headers = headers();
    let beside_the_host = "#include <sys/stat.h>\n#include <fcntl.h>\n#include <errno.h>\n#include <sys/socket.h>\n#include <poll.h>\n#include <dirent.h>\n#include <netinet/in.h>\n#include <linux/fs.h>\n";
    for program in [
        LAYOUTS.to_owned(),
        format!("{beside_the_host}{LAYOUTS}"),
        format!("{LAYOUTS}{beside_the_host}"),
    ] {
        assert_eq!(compiled("gcc", &["-std=c11"], &headers, &program), None);
        assert_eq!(
            compiled(
                "g++",
                &["-xc++", "-D_Static_assert=static_assert"],
                &headers,
                &program
            ),
            None
        );
    }
    let on_windows = format!(
        "#include <winsock2.h>\n#include <windows.h>\n#include <sys/stat.h>\n#include <fcntl.h>\n{LAYOUTS}"
    );
    assert_eq!(
        compiled("x86_64-w64-mingw32-gcc", &["-std=c11"], &headers, &on_windows),
        None
    );
}
